# balance: the sum of each account, in the order in which the journal first names them.

function posting(date, payee, name, cents) {
    if (!selected(name, account)) return
    if (!(name in sums)) order[++known] = name
    sums[name] += cents
}

function finish(    i) {
    for (i = 1; i <= known; i++) printf "%12s  %s\n", from_cents(sums[order[i]]), order[i]
}
