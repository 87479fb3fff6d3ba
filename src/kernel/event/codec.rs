//! The one place that knows bincode. Payloads are bincode 2 with `config::legacy()`: fixed-width
//! little-endian integers, u64 lengths, u32 variant numbers; one value has one encoding, since
//! payloads hold no maps and no floats, and trailing bytes are refused (`schema/event.md`).

use bincode::config;

use crate::kernel::log::MAX_BODY;

/// Why bytes are not a value, or a value has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode.
    #[error("the payload does not decode: {0}")]
    Decode(String),
    /// Bytes are left behind the value.
    #[error("{0} bytes are left behind the payload")]
    Trailing(usize),
    /// The value is too long.
    #[error("the payload has {0} bytes; at most {MAX_BODY} are allowed")]
    TooLong(usize),
}

/// The bytes of a payload.
///
/// # Errors
/// [`CodecError::TooLong`].
pub fn encode<T: bincode::Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::encode_to_vec(value, config::legacy())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    if bytes.len() > MAX_BODY { Err(CodecError::TooLong(bytes.len())) } else { Ok(bytes) }
}

/// What decoding may allocate for lists, in bytes of memory. It is far above what the elements of
/// [`MAX_BODY`] bytes take (a text of 8 bytes takes 24), so that it only stops what the bytes could
/// never hold, and never decides whether a payload is malformed.
const MAX_ALLOCATED: usize = 8 * MAX_BODY;

/// The payload of exactly these bytes. No length in them is believed beyond the bytes that are
/// there.
///
/// # Errors
/// [`CodecError`].
pub fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_BODY {
        return Err(CodecError::TooLong(bytes.len()));
    }
    let limited = config::legacy().with_limit::<MAX_ALLOCATED>();
    let (value, read) = bincode::decode_from_slice(bytes, limited)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_encoding() {
        let bytes = encode(&(true, 7u16, "x".to_owned(), Some(1u8))).unwrap();
        assert_eq!(hex::encode(&bytes), "010700010000000000000078 0101".replace(' ', ""));
        type T = (bool, u16, String, Option<u8>);
        assert!(decode::<T>(&bytes).is_ok());
        let mut bad = bytes.clone();
        bad[0] = 2;
        assert!(matches!(decode::<T>(&bad), Err(CodecError::Decode(_))));
        let mut bad = bytes.clone();
        bad.push(0);
        assert_eq!(decode::<T>(&bad), Err(CodecError::Trailing(1)));
        assert!(decode::<T>(&bytes[..5]).is_err());
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        assert!(decode::<Vec<u8>>(&u64::MAX.to_le_bytes()).is_err());
        assert!(decode::<String>(&(1u64 << 40).to_le_bytes()).is_err());
        assert!(decode::<Vec<String>>(&(1u64 << 20).to_le_bytes()).is_err());
    }

    #[test]
    fn the_size_of_a_value_in_memory_refuses_no_payload() {
        // In memory a text takes three times the bytes of an empty one's encoding.
        let texts = vec![String::new(); MAX_BODY / 8 - 1];
        let bytes = encode(&texts).unwrap();
        assert_eq!(bytes.len(), MAX_BODY);
        assert_eq!(decode(&bytes), Ok(texts));
    }
}
