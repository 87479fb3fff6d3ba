#!/bin/sh
# Runs the test files named, or all, each in a directory of its own. Status 1 if any failed.
set -u
ROOT=$(cd "$(dirname -- "$0")/.." && pwd)
export ROOT
[ $# -gt 0 ] || set -- "$ROOT"/tests/test_*.sh
passed=0 failed=0 bad=
for file do
    case $file in /*) ;; *) file=$PWD/$file ;; esac
    name=$(basename "$file")
    scratch=$(mktemp -d)
    echo "$name"
    if (cd "$scratch" && sh "$file"); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) bad="$bad $name"
    fi
    rm -rf "$scratch"
done
echo
echo "$passed files passed, $failed failed${bad:+:$bad}"
[ "$failed" -eq 0 ]
