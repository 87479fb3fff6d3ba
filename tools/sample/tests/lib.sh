# What the test files share. Each ends with `finish`.
failures=0

ledger() { sh "$ROOT/ledger" "$@"; }

# expect NAME WANTED GOT
expect() {
    if [ "$2" = "$3" ]; then
        echo "  ok    $1"
    else
        failures=$((failures + 1))
        echo "  FAIL  $1"
        printf '%s\n' "$2" | sed 's/^/        wanted: /'
        printf '%s\n' "$3" | sed 's/^/        got:    /'
    fi
}

# Columns are for people: the tests compare words.
words() { sed 's/^ *//; s/  */ /g; s/ *$//'; }

finish() { [ "$failures" -eq 0 ]; }
