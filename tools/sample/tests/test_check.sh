. "$ROOT/tests/lib.sh"

# mistake NAME WANTED: checks the journal on standard input.
mistake() {
    cat >j
    status=0
    said=$(ledger check j 2>&1) || status=$?
    expect "$1" "$2 ($3)" "$said ($status)"
}

mistake "a sound journal" "" 0 <<'J'
2025-01-03 Bakery
  expenses:food  4.20
  assets:cash   -4.20
J
mistake "a sum that isn't zero" "j:1: the transaction is off by 1.00" 1 <<'J'
2025-01-03 Bakery
  expenses:food  5.20
  assets:cash   -4.20
J
mistake "two amounts left out" "j:3: only one posting may leave out its amount" 1 <<'J'
2025-01-03 Bakery
  expenses:food
  assets:cash
J
mistake "not a date" "j:1: not a date: 2025-1-3" 1 <<'J'
2025-1-3 Bakery
J
mistake "not an amount" "j:2: not an amount: 4,20" 1 <<'J'
2025-01-03 Bakery
  expenses:food  4,20
J
mistake "a posting alone" "j:1: a posting without a transaction" 1 <<'J'
  assets:cash  1.00
J
mistake "a transaction with one posting" "j:1: a transaction needs two postings" 1 <<'J'
2025-01-03 Bakery
  assets:cash  0.00
J
finish
