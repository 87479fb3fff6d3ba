. "$ROOT/tests/lib.sh"

cat >j <<'J'
2025-05-01 Baker
  expenses:food   4.20
  assets:cash

2025-05-02 Miller, Sons & "Friends"
  expenses:tools  15.00
  assets:bank
J
expect "a head, and a line for each posting" "date,payee,account,amount
2025-05-01,Baker,expenses:food,4.20
2025-05-01,Baker,assets:cash,-4.20" "$(ledger csv j | head -n 3)"
expect "a comma or a quote in a field is quoted (RFC 4180)" \
    '2025-05-02,"Miller, Sons & ""Friends""",expenses:tools,15.00' "$(ledger csv j | sed -n 4p)"
expect "the command is in the usage" "1" "$(ledger help | grep -c 'ledger csv FILE')"
finish
