//! The gateway's answer to an executed payment, kept so that a repeat gets it byte for byte.
//!
//! Answers live apart from the claims, in a fixed number of places chosen by the key's hash. A
//! later answer may take a place over: then the repeat is told that the payment was executed, and
//! nothing is lost but comfort.

use super::bytes::Reader;
use super::claim::Incarnation;
use super::key::{ClaimKey, KeyPrefix};

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// HTTP status.
    pub status: u16,
    /// `content-type`, if there was one.
    pub content_type: Option<String>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

const VERSION: u8 = 1;

impl Kept {
    /// The stored form, which names the payment and its incarnation.
    #[must_use]
    pub fn encode(&self, key: &ClaimKey, of: Incarnation) -> Vec<u8> {
        let content_type = self.content_type.as_deref().unwrap_or_default().as_bytes();
        let content_type = content_type.get(..usize::from(u8::MAX)).unwrap_or(content_type);
        let mut bytes = Vec::with_capacity(self.body.len() + content_type.len() + 64);
        bytes.push(VERSION);
        bytes.extend(key.prefix());
        bytes.extend(of.claimed_at.as_millis().to_le_bytes());
        bytes.extend(of.nonce.to_le_bytes());
        bytes.extend(self.status.to_le_bytes());
        bytes.push(u8::try_from(content_type.len()).unwrap_or(0));
        bytes.extend(content_type);
        bytes.extend(&self.body);
        bytes
    }

    /// Reads the stored form; `None` when it is another payment's, another incarnation's, or not
    /// one at all.
    #[must_use]
    pub fn decode(bytes: &[u8], key: &ClaimKey, of: Incarnation) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let version = bytes.byte()?;
        let prefix: KeyPrefix = bytes.take()?;
        let kept_of = Incarnation { claimed_at: bytes.time()?, nonce: bytes.word()? };
        if version != VERSION || prefix != key.prefix() || kept_of != of {
            return None;
        }
        let status = bytes.short()?;
        let length = usize::from(bytes.byte()?);
        let content_type = std::str::from_utf8(bytes.slice(length)?).ok()?;
        Some(Self {
            status,
            content_type: (length > 0).then(|| content_type.to_owned()),
            body: bytes.0.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Timestamp;

    #[test]
    fn it_comes_back_for_its_own_payment_only() {
        let [key, other] = ["r-1", "r-2"].map(|r| ClaimKey::derive("p", "order", [r]));
        let of = Incarnation { claimed_at: Timestamp::from_millis(7), nonce: 9 };
        let later = Incarnation { nonce: 10, ..of };
        for content_type in [None, Some("application/json".to_owned())] {
            let kept = Kept { status: 200, content_type, body: b"\0{}\xff".to_vec() };
            let bytes = kept.encode(&key, of);
            assert_eq!(Kept::decode(&bytes, &key, of), Some(kept));
            assert_eq!(Kept::decode(&bytes, &other, of), None);
            assert_eq!(Kept::decode(&bytes, &key, later), None);
            for cut in 0..32 {
                assert_eq!(Kept::decode(&bytes[..cut], &key, of), None, "{cut}");
            }
        }
    }
}
