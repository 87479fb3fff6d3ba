# Reads a journal. A report defines posting(date, payee, account, cents), called for every posting
# of a transaction that adds up, and finish(), called at the end of a journal without mistakes.

function mistake(line, message) {
    printf "%s:%d: %s\n", FILENAME, line, message > "/dev/stderr"
    failed = 1
    exit 1
}

# Ends the transaction that was being read: fills in the amount left out, checks the sum.
function close_transaction(    i, sum, open) {
    if (started == 0) return
    if (count < 2) mistake(started, "a transaction needs two postings")
    for (i = 1; i <= count; i++) {
        if (cents[i] != "") sum += cents[i]
        else if (open) mistake(lines[i], "only one posting may leave out its amount")
        else open = i
    }
    if (open) cents[open] = -sum
    else if (sum != 0) mistake(started, "the transaction is off by " from_cents(sum))
    for (i = 1; i <= count; i++) posting(date, payee, names[i], cents[i])
    started = 0
}

/^[ \t]*(#.*)?$/ { next }

/^[0-9]/ {
    close_transaction()
    if ($1 !~ /^[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]$/) mistake(NR, "not a date: " $1)
    if (NF < 2) mistake(NR, "a transaction needs a payee")
    started = NR
    count = 0
    date = $1
    payee = $0
    sub(/^[^ \t]+[ \t]+/, "", payee)
    next
}

/^[ \t]/ {
    if (!started) mistake(NR, "a posting without a transaction")
    if (NF > 2) mistake(NR, "a posting is an account and an amount")
    count++
    lines[count] = NR
    names[count] = $1
    cents[count] = NF == 2 ? to_cents($2) : ""
    if (NF == 2 && cents[count] == "") mistake(NR, "not an amount: " $2)
    next
}

{ mistake(NR, "neither a transaction nor a posting") }

END {
    if (failed) exit 1
    close_transaction()
    finish()
}
