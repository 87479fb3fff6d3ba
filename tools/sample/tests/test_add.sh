. "$ROOT/tests/lib.sh"

ledger add j 2025-02-01 "Green Grocer" expenses:food assets:cash 7.35
ledger add j 2025-02-02 Baker expenses:food assets:cash 2.00
expect "what was added counts" "9.35 expenses:food
-9.35 assets:cash" "$(ledger balance j | words)"

before=$(cat j)
status=0
ledger add j 2025-02-03 Nobody expenses:food assets:cash "seven" 2>/dev/null || status=$?
expect "a mistake isn't added" "1 $before" "$status $(cat j)"
expect "no lock stays behind" "" "$(ls -d j.lock 2>/dev/null)"
finish
