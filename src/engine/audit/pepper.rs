//! References that nobody reads from the trail: HMAC-SHA-256 (RFC 2104) with a secret. A plain hash of a
//! merchant's reference is found by trying: there are too few of them.

use std::fmt;

use super::chain::Digest;
use crate::engine::codec::hex;

/// Bytes that SHA-256 takes in at a time.
const BLOCK: usize = 64;

/// Digits of a hash that stand in an entry: 128 bits.
const DIGITS: usize = 32;

/// What a hashed reference begins with.
const PREFIX: &str = "hmac:";

/// A secret of 256 bits that references are hashed with. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pepper([u8; 32]);

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper")
    }
}

impl Pepper {
    /// What it must look like.
    pub const EXPECTED: &'static str =
        "64 hexadecimal digits in lower case, as `openssl rand -hex 32` makes them";

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut key = [0; 32];
        for (byte, [high, low]) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(key))
    }

    /// SHA-256 of the key with this padding and what follows it.
    fn keyed(&self, pad: u8, rest: &[u8]) -> [u8; 32] {
        let mut bytes = vec![pad; BLOCK];
        bytes.iter_mut().zip(self.0).for_each(|(byte, key)| *byte ^= key);
        bytes.extend_from_slice(rest);
        Digest::of(&bytes).0
    }

    /// A reference as it stands in an entry: `hmac:` and 32 hexadecimal digits. One without a reference has
    /// none.
    #[inline(never)]
    #[must_use]
    pub fn hash(&self, reference: &str) -> String {
        if reference.is_empty() {
            return String::new();
        }
        let inner = self.keyed(0x36, reference.as_bytes());
        let digest = hex(&self.keyed(0x5c, &inner));
        let mut text = String::with_capacity(PREFIX.len() + DIGITS);
        text.push_str(PREFIX);
        text.push_str(digest.get(..DIGITS).unwrap_or_default());
        text
    }

    /// Whether a reference in an entry is a hash.
    #[must_use]
    pub fn is_hash(reference: &str) -> bool {
        reference.len() == PREFIX.len() + DIGITS && reference.starts_with(PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_hashed_as_rfc_2104_says() {
        // By Python: hmac.new(bytes.fromhex('00' * 31 + '07'), b'ORDER-7', 'sha256').hexdigest()[:32]
        let pepper = Pepper::parse(&format!("{}07", "00".repeat(31))).unwrap();
        let hash = pepper.hash("ORDER-7");
        assert_eq!(hash, "hmac:fa005754816992991264430ebd77457b");
        assert!(Pepper::is_hash(&hash) && !Pepper::is_hash("ORDER-7") && !Pepper::is_hash("hmac:"));
        assert_eq!(pepper.hash(""), "");
        let other = Pepper::parse(&format!("{}08", "00".repeat(31))).unwrap();
        assert_ne!(other.hash("ORDER-7"), hash);
        assert_eq!(format!("{pepper:?}"), "Pepper");
    }

    #[test]
    fn what_is_no_pepper_is_none() {
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"A".repeat(64), &"g".repeat(64)] {
            assert_eq!(Pepper::parse(bad), None, "{bad}");
        }
    }
}
