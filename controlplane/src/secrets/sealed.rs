//! A sealed value as it is kept, in a table or as one run of bytes.

/// Bytes of a sealed data key: nonce, key, tag.
pub(super) const DATA_KEY: usize = 12 + 32 + 16;
/// The layout of [`Sealed::encode`], so that a later one can be told apart.
const LAYOUT: u8 = 1;

/// A value that only a ring with the right key opens, and only where it was sealed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key of the ring sealed the data key.
    pub key: String,
    /// The data key, sealed by that key.
    pub data_key: [u8; DATA_KEY],
    /// The value, sealed by the data key.
    pub value: Vec<u8>,
}

/// Bytes that are no sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a sealed value")]
pub struct Unreadable;

impl Sealed {
    /// The whole as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + self.key.len() + DATA_KEY + self.value.len());
        bytes.push(LAYOUT);
        bytes.push(u8::try_from(self.key.len()).expect("ids of keys are short"));
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.data_key);
        bytes.extend_from_slice(&self.value);
        bytes
    }

    /// What [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let [LAYOUT, length, rest @ ..] = bytes else { return Err(Unreadable) };
        let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Unreadable)?;
        let (data_key, value) = rest.split_first_chunk().ok_or(Unreadable)?;
        let key = std::str::from_utf8(key).map_err(|_| Unreadable)?.to_owned();
        Ok(Self { key, data_key: *data_key, value: value.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_is_the_same_after_it_was_bytes() {
        let sealed = Sealed { key: "k1".to_owned(), data_key: [7; DATA_KEY], value: vec![1, 2, 3] };
        let bytes = sealed.encode();
        assert_eq!(Sealed::decode(&bytes), Ok(sealed));
        for end in 0..bytes.len() - 3 {
            assert_eq!(Sealed::decode(&bytes[..end]), Err(Unreadable), "cut at {end}");
        }
        assert_eq!(Sealed::decode(&[&[2], &bytes[1..]].concat()), Err(Unreadable), "another layout");
    }
}
