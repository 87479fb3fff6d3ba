. "$ROOT/tests/lib.sh"

cat >j <<'J'
2025-03-09 Cinema
  expenses:fun    9.00
  assets:cash

2025-03-01 Salary
  assets:cash   100.00
  income:work

2025-03-09 Popcorn
  expenses:fun    3.50
  assets:cash

2025-02-27 Loan
  assets:cash    20.00
  debts:anna
J
expect "by date, with a running total; one day's in the order of the file" \
"2025-02-27 Loan 20.00 20.00
2025-03-01 Salary 100.00 120.00
2025-03-09 Cinema -9.00 111.00
2025-03-09 Popcorn -3.50 107.50" "$(ledger register j assets:cash | words)"
expect "an account that nobody used" "" "$(ledger register j assets:safe)"
finish
