. "$ROOT/tests/lib.sh"

cat >j <<'J'
2025-04-01 Shop
  assets:cash        10.00
  assets:cashback     1.00
  assets:cash:purse   2.00
  income:other
J
expect "an account and those below it, not one that begins alike" "10.00 assets:cash
2.00 assets:cash:purse" "$(ledger balance j assets:cash | words)"
expect "part of a name is no account" "" "$(ledger balance j ass)"
expect "the register goes by the same rule" "2025-04-01 Shop 10.00 10.00
2025-04-01 Shop 2.00 12.00" "$(ledger register j assets:cash | words)"
expect "without an account, all" "4" "$(ledger balance j | wc -l | words)"
finish
