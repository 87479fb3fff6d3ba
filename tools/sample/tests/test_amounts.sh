. "$ROOT/tests/lib.sh"

cat >j <<'J'
2025-03-03 Market
  expenses:food   12.05
  assets:bank    -12.05
J
expect "amounts of more than one unit" "12.05 expenses:food
-12.05 assets:bank" "$(ledger balance j | words)"

cat >j <<'J'
2025-03-02 Kiosk
  assets:cash      0.15
  income:refund
J
expect "a negative amount below one unit is printed with its sign" "-0.15 income:refund" \
    "$(ledger balance j income | words)"

cat >j <<'J'
2025-03-01 Kiosk
  expenses:sweets  0.40
  assets:cash     -0.40
J
expect "and read with its sign" "" "$(ledger check j 2>&1)"
expect "both ways" "-0.40 assets:cash" "$(ledger balance j assets 2>&1 | words)"
finish
