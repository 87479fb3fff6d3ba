//! Base 64 with padding (RFC 4648, section 4), one text for each value: other bits behind the last
//! byte, missing padding and line breaks are refused.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() { '=' } else { char::from(DIGITS[digit as usize]) });
        }
    }
    text
}

/// The bytes of a text; `None` if it is not exactly what [`encode`] writes for them.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, []) = text.as_bytes().as_chunks::<4>() else {
        return None;
    };
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (number, group) in (1..).zip(groups) {
        let kept = match group {
            [_, _, b'=', b'='] => 1,
            [_, _, _, b'='] => 2,
            _ => 3,
        };
        if kept < 3 && number != groups.len() {
            return None;
        }
        let mut bits = 0;
        for digit in &group[..=kept] {
            bits = bits << 6 | value(*digit)?;
        }
        bits <<= 6 * (3 - kept);
        let [_, three @ ..] = u32::to_be_bytes(bits);
        if three[kept..] != [0; 2][..3 - kept] {
            return None;
        }
        bytes.extend_from_slice(&three[..kept]);
    }
    Some(bytes)
}

/// The 32 bytes of a text.
#[must_use]
pub(super) fn decode32(text: &str) -> Option<[u8; 32]> {
    // Before anything is set aside for a longer one.
    let fits = text.len() == 44;
    fits.then(|| decode(text))??.try_into().ok()
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    const VECTORS: &[(&str, &str)] = &[
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in VECTORS {
            assert_eq!(encode(bytes.as_bytes()), *text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
    }

    #[test]
    fn all_bytes_come_back() {
        let all: Vec<u8> = (0..=255).rev().collect();
        for from in 0..40 {
            assert_eq!(decode(&encode(&all[from..])).as_deref(), Some(&all[from..]));
        }
    }

    #[test]
    fn a_value_has_one_text() {
        let wrong = [
            "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "====", "Z===", "=g==", "Zg==Zm9v",
            "Zm9v\n", " Zm9v", "Zm-_", "Zg=a", "Zm9vY",
        ];
        for text in wrong {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
