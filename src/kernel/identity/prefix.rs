//! Names that people shorten.

/// The beginning of an id in hexadecimal digits, of either case, by which people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    /// In lower case.
    digits: String,
}

impl IdPrefix {
    /// The fewest digits that may stand for an id.
    pub const LEAST: usize = 4;

    /// From a text; none if it is something else, or has fewer than [`Self::LEAST`] or more than 64
    /// digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (Self::LEAST..=64).contains(&text.len());
        let is = fits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is.then(|| Self { digits: text.to_ascii_lowercase() })
    }

    /// Whether an id begins with it.
    #[must_use]
    pub fn begins(&self, id: &[u8; 32]) -> bool {
        self.digits
            .bytes()
            .zip(id.iter().flat_map(|byte| [byte >> 4, byte & 15]))
            .all(|(digit, half)| char::from(digit).to_digit(16) == Some(u32::from(half)))
    }
}

#[cfg(test)]
mod tests {
    use super::IdPrefix;

    #[test]
    fn an_id_begins_with_its_digits_and_no_others() {
        let mut id = [0xab; 32];
        id[1] = 0x1c;
        let whole = hex::encode(id);
        for length in IdPrefix::LEAST..=64 {
            let prefix = IdPrefix::parse(&whole[..length].to_ascii_uppercase()).unwrap();
            assert!(prefix.begins(&id));
            let mut other = id;
            other[(length - 1) / 2] ^= if length % 2 == 0 { 0x01 } else { 0x10 };
            assert!(!prefix.begins(&other), "{length}");
        }
        for no in ["", "ab1", "ab1g", "-ab1c", "äab1", &format!("{whole}0")] {
            assert_eq!(IdPrefix::parse(no), None, "{no}");
        }
    }
}
