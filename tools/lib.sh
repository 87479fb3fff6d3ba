# What the scripts in this folder share: sourced, not run. Bash 5 and the usual Unix tools.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is worth keeping between runs and clones: compiled dependencies, tools, an engine's data.
cache=${BZZZ_CACHE:-$HOME/.cache/bzzz}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
# Nothing here asks: no terminal is needed, and none is read.
export GIT_TERMINAL_PROMPT=0 DEBIAN_FRONTEND=noninteractive
# rustup's own folder is missing from the path of a shell that isn't a login shell.
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin

say() { printf '%s\n' "$*"; }
warn() { printf 'WARNING: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
in_ci() { [ "${CI:-}" = true ]; }

# True if a Docker engine answers, within ten seconds.
docker_answers() {
    command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1
}

# The Python that has what tools/verify.py needs; tools/setup makes it.
python=$cache/python/bin/python3
# True if it is there and made for the present tools/requirements.txt.
python_answers() {
    cmp -s "$root/tools/requirements.txt" "$cache/python/requirements.txt" &&
        "$python" -c 'import blake3, nacl.bindings' 2>/dev/null
}

# step NAME COMMAND...: runs it, says how long it took, and goes on if it fails. `verdict` counts.
step_names=() step_failures=()
step() {
    local name=$1 begun=$SECONDS status=0
    shift
    step_names+=("$name")
    printf '\n=== %s: %s\n' "$name" "$*"
    # In a shell of its own, since a command under `||` would run on after its own failures.
    set +e
    (set -e; "$@")
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        say "=== $name: passed in $((SECONDS - begun)) s"
    else
        step_failures+=("$name")
        say "=== $name: FAILED with status $status after $((SECONDS - begun)) s"
    fi
}

# verdict WHAT: one line at the end; its status is that of the whole.
verdict() {
    printf '\n'
    if [ ${#step_failures[@]} -eq 0 ]; then
        say "$1: all ${#step_names[@]} steps passed in $SECONDS s"
        return 0
    fi
    local failed
    failed=$(printf '%s, ' "${step_failures[@]}")
    say "$1: FAILED: ${failed%, } (${#step_failures[@]} of ${#step_names[@]} steps, $SECONDS s)"
    return 1
}

# usage FILE "$@": prints the comment at the top of FILE and ends if --help is among the arguments.
usage() {
    local file=$1 argument
    shift
    for argument; do
        case $argument in
            --help | -h)
                sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$file"
                exit 0
                ;;
        esac
    done
}
