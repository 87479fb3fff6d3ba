# Amounts. Inside the program an amount is a whole number of cents: fractions never add up.

# The cents of a text such as "12", "-3.5" or "4.20"; "" if it isn't an amount.
function to_cents(text,    parts, units, cents) {
    if (text !~ /^-?[0-9]+(\.[0-9][0-9]?)?$/) return ""
    split(text, parts, ".")
    units = parts[1] + 0
    cents = substr(parts[2] "00", 1, 2) + 0
    return units < 0 ? units * 100 - cents : units * 100 + cents
}

# The text of an amount, always with two digits after the point.
function from_cents(cents) {
    return sprintf("%d.%02d", int(cents / 100), cents < 0 ? -cents % 100 : cents % 100)
}
