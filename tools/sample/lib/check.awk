# check: says nothing of a journal without mistakes; journal.awk has told of the first one.

function posting(date, payee, name, cents) {
}

function finish() {
}
