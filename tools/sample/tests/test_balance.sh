. "$ROOT/tests/lib.sh"
household=$ROOT/examples/household.ledger

expect "every account has its sum" "547.50 assets:bank
45.80 assets:cash
-1250.00 equity:opening
640.00 expenses:rent
4.20 expenses:food
12.50 expenses:books" "$(ledger balance "$household" | words)"

expect "one account" "45.80 assets:cash" "$(ledger balance "$household" assets:cash | words)"

expect "all accounts have a name each" "6" "$(ledger accounts "$household" | wc -l | words)"
finish
