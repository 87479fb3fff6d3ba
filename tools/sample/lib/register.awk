# register: each posting to an account, with a running total.

function posting(date, payee, name, cents) {
    if (!selected(name, account)) return
    total += cents
    printf "%s  %-24s %12s %12s\n", date, payee, from_cents(cents), from_cents(total)
}

function finish() {
}
