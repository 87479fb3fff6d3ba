# Takes about five seconds: it really waits.
. "$ROOT/tests/lib.sh"

mkdir j.lock
(sleep 3; rmdir j.lock) &
said=$(ledger add j 2025-02-01 Baker expenses:food assets:cash 2.00 2>&1)
wait
expect "a writer waits for the other" "ledger: waiting for j.lock" "$(echo "$said" | head -n 1)"
expect "and then writes" "2.00 expenses:food" "$(ledger balance j expenses | words)"

mkdir j.lock
status=0
said=$(LEDGER_WAIT=2 ledger add j 2025-02-01 Baker expenses:food assets:cash 2.00 2>&1) || status=$?
expect "but not for ever" "2 ledger: j is locked; remove j.lock if no one writes" \
    "$status $(echo "$said" | tail -n 1)"
expect "a lock of others is left alone" "j.lock" "$(ls -d j.lock)"
finish
