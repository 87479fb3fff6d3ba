. "$ROOT/tests/lib.sh"

for day in 01 02 03 04; do
    printf '2025-06-%s Day %s\n  expenses:food  %s.00\n  assets:cash\n' "$day" "$day" "$day"
done >j

days() { ledger csv "$@" | grep food | cut -d, -f1 | cut -d- -f3 | tr '\n' ' ' | words; }

expect "without a period, all" "01 02 03 04" "$(days j)"
expect "from a day on, with that day" "03 04" "$(days j --from 2025-06-03)"
expect "up to a day, with that day" "01 02" "$(days j --to 2025-06-02)"
expect "between two days" "02 03" "$(days j --from 2025-06-02 --to 2025-06-03)"
status=0
said=$(ledger csv j --from yesterday 2>&1) || status=$?
expect "what isn't a date is refused" "2 ledger: not a date: yesterday" "$status $said"
finish
