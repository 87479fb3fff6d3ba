# Which accounts a report is about.

# True if `name` is the account asked for or one below it; without a question, true for all.
function selected(name, account) {
    return account == "" || index(name, account) == 1
}
