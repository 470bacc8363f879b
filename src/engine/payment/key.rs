//! Which payment a request is about: the claim key, and the fingerprint of what it asks for.
//!
//! DANA's identity stands in the body (`merchantId`, `partnerReferenceNo`). `X-EXTERNAL-ID` and
//! `X-SIGNATURE` are useless here: the SDKs mint new ones for every retry.

use std::fmt;

use crate::engine::codec::json::Scalar;
use crate::engine::codec::{hex, sha256};
use crate::engine::limits;

/// SHA-256 over partner, namespace and identity, each with its length before it, so that no two
/// different triples share a preimage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClaimKey([u8; 32]);

/// Bytes of a key that a record holds: enough that finding two payments with the same ones takes
/// 2^64 tries.
pub type KeyPrefix = [u8; 16];

impl ClaimKey {
    /// The key of the payment that `partner` calls `identity` within `namespace`.
    #[must_use]
    pub fn derive<'a>(
        partner: &'a str,
        namespace: &'a str,
        identity: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut preimage = Preimage::new(b"dana-failover claim 1");
        for part in [partner, namespace].into_iter().chain(identity) {
            preimage.add_part(part);
        }
        Self(sha256(&preimage.0))
    }

    /// The bytes that stand in the record.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        self.part(0)
    }

    /// As much of the key as it takes to find its record.
    #[must_use]
    pub fn reference(&self) -> PaymentRef {
        PaymentRef(self.part(0))
    }

    /// The `Idempotency-Key` sent to the gateway: the same on every attempt of this payment, a
    /// string of RFC 8941 as the IETF draft wants it.
    #[must_use]
    pub fn as_idempotency_key(&self) -> String {
        let mut text = String::with_capacity(2 * self.0.len() + 2);
        text.extend(["\"", &hex(&self.0), "\""]);
        text
    }

    fn part<const N: usize>(&self, from: usize) -> [u8; N] {
        let mut part = [0; N];
        for (to, byte) in part.iter_mut().zip(self.0.iter().skip(from)) {
            *to = *byte;
        }
        part
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimKey({self})")
    }
}

/// As much of a claim key as another record holds of it: enough to find the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentRef([u8; PAYMENT_REF_SIZE]);

const PAYMENT_REF_SIZE: usize = 20;

impl fmt::Display for PaymentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl PaymentRef {
    /// Bytes of the stored form.
    pub const SIZE: usize = PAYMENT_REF_SIZE;

    /// It as people read it, in hexadecimal.
    pub(in crate::engine) fn digits(self) -> String {
        hex(&self.0)
    }

    /// The bytes that stand in the payment's record.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    /// Its first two bytes, which are as good as random.
    pub(in crate::engine) fn front(self) -> u16 {
        self.0.first_chunk().copied().map_or(0, u16::from_be_bytes)
    }

    pub(in crate::engine) const fn bytes(self) -> [u8; Self::SIZE] {
        self.0
    }

    pub(in crate::engine) const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }
}

/// The front of a claim key, as people copy it: out of the access log, or out of the
/// `Idempotency-Key` that a gateway saw. Hexadecimal digits in pairs, 16 to 64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFront {
    bytes: [u8; 32],
    /// How many of them are known, 8 to 32.
    length: usize,
}

impl KeyFront {
    const BYTES_MIN: usize = 8;

    /// Reads what somebody wrote; `None` when it is no front of a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let mut bytes = [0; 32];
        if pairs.len() < Self::BYTES_MIN || pairs.len() > bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self { bytes, length: pairs.len() })
    }

    /// Whether it is the front of the key with this prefix, as far as a record knows that.
    #[must_use]
    pub fn fits(&self, key: &KeyPrefix) -> bool {
        self.bytes.iter().take(self.length).zip(key).all(|(mine, other)| mine == other)
    }

    /// The bytes of it that are known.
    pub(in crate::engine) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// As much of the key as it takes to find its record. That is more than
    /// the record has: 40 digits, as many as the access log shows.
    #[must_use]
    pub fn reference(&self) -> Option<PaymentRef> {
        let reference = self.bytes.first_chunk().filter(|_| self.length >= PaymentRef::SIZE)?;
        Some(PaymentRef(*reference))
    }
}

fn digit(character: u8) -> Option<u8> {
    let value = char::from(character).to_digit(16)?;
    u8::try_from(value).ok()
}

/// What a payment asks for, as far as changing it makes it another payment: amount, currency,
/// beneficiary. White space, member order, time stamps and signatures do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub(in crate::engine) [u8; 16]);

impl Fingerprint {
    /// Of a record that was learnt from a status answer: nothing is known of the request.
    pub const UNKNOWN: Self = Self([0; 16]);

    /// Of the payment with `key` and these values of the fingerprint fields, in their order.
    #[must_use]
    pub fn of_fields<'a>(
        key: &ClaimKey,
        fields: impl IntoIterator<Item = Option<&'a Scalar<'a>>>,
    ) -> Self {
        let mut preimage = Preimage::new(b"dana-failover fields 1");
        preimage.add(&key.0);
        for field in fields {
            let (kind, text) = match field {
                None => (b'-', None),
                Some(Scalar::Null) => (b'0', None),
                Some(Scalar::Bool(value)) => (if *value { b't' } else { b'f' }, None),
                Some(Scalar::Composite) => (b'c', None),
                Some(Scalar::Number(number)) => (b'n', Some(number.as_str())),
                Some(Scalar::Text(text)) => (b's', Some(text.as_ref())),
            };
            preimage.0.push(kind);
            if let Some(text) = text {
                preimage.add_part(text);
            }
        }
        Self::from_digest(sha256(&preimage.0))
    }

    /// Of the payment with `key` and this whole body.
    #[must_use]
    pub fn of_body(key: &ClaimKey, body: &[u8]) -> Self {
        Self::from_digest(sha256(&[b"dana-failover body 1", &key.0[..], body].concat()))
    }

    fn from_digest(digest: [u8; 32]) -> Self {
        Self(ClaimKey(digest).part(0))
    }
}

/// What is hashed.
struct Preimage(Vec<u8>);

impl Preimage {
    /// It begins with what it is for: no two uses share one. There is room for nearly all of them.
    fn new(domain: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(domain);
        Self(bytes)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds a part with its length before it.
    fn add_part(&mut self, part: &str) {
        self.add(&(part.len() as u64).to_le_bytes());
        self.add(part.as_bytes());
    }
}

/// Parses an `Idempotency-Key` header: a string of RFC 8941, or the same characters bare, as most
/// clients send it. Both mean the same key.
///
/// # Errors
/// What is wrong with it, as a sentence for the client.
pub fn parse_idempotency_key(header: &str) -> Result<String, &'static str> {
    let header = header.trim_matches([' ', '\t']);
    let key = match header.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None if header.bytes().all(is_bare) => header.to_owned(),
        None => return Err("Idempotency-Key must be one quoted string or one token"),
    };
    match key.len() {
        0 => Err("Idempotency-Key is empty"),
        1..=limits::IDEMPOTENCY_KEY_CHARS_MAX => Ok(key),
        _ => Err("Idempotency-Key is longer than 255 characters"),
    }
}

/// A key as a string of RFC 8941, which is what the IETF draft wants in the header.
#[must_use]
pub fn quote(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', r"\\").replace('"', "\\\""))
}

/// RFC 8941 section 3.3.3, after the opening quote.
fn unquote(quoted: &str) -> Result<String, &'static str> {
    const MALFORMED: &str = "Idempotency-Key is not a well-formed quoted string";
    let mut key = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next() {
            Some('"') if characters.as_str().is_empty() => return Ok(key),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) | None => return Err(MALFORMED),
            },
            Some(plain @ (' '..='!' | '#'..='~')) => key.push(plain),
            Some(_) | None => return Err(MALFORMED),
        }
    }
}

/// The characters of a token (RFC 9110) and of RFC 8941's, wherever they stand: a UUID that begins
/// with a digit is no token of RFC 8941, and clients send it all the same.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*'..=b'+' | b'-'..=b'/' | b':' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted_between_fields() {
        let keys = [
            ClaimKey::derive("a", "order", ["b", "c"]),
            ClaimKey::derive("a", "order", ["bc"]),
            ClaimKey::derive("a", "order", ["b", "c", ""]),
            ClaimKey::derive("ao", "rder", ["b", "c"]),
            ClaimKey::derive("b", "order", ["a", "c"]),
            ClaimKey::derive("a", "topup", ["b", "c"]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
    }

    #[test]
    fn the_definition_of_the_fingerprint_is_fixed() {
        let key = ClaimKey::derive("partner", "order", ["merchant", "reference"]);
        let text = |text: &'static str| Scalar::Text(text.into());
        let fields = [
            None,
            Some(Scalar::Null),
            Some(Scalar::Bool(true)),
            Some(Scalar::Bool(false)),
            Some(Scalar::Composite),
            Some(Scalar::Number("17".to_owned())),
            Some(text("10000.00")),
        ];
        // By Python's hashlib, from what stands together there.
        let of_fields = Fingerprint::of_fields(&key, fields.iter().map(Option::as_ref));
        assert_eq!(hex(&of_fields.0), "266559aaedb9271ef4269b7ef457a826");
        let of_body = Fingerprint::of_body(&key, br#"{"a":1}"#);
        assert_eq!(hex(&of_body.0), "2c730d823c3e7bda93739db5d99acea4");
    }

    #[test]
    fn the_definition_of_the_key_is_fixed() {
        // A store outlives the code that wrote it: raise `Layout::VERSION` when this changes.
        let key = ClaimKey::derive("partner", "order", ["merchant", "reference"]);
        assert_eq!(
            key.as_idempotency_key(),
            "\"dd8338c744f7dae9a7820cc693034abc5c3d314d5f6a924e2786df04fbd004cb\""
        );
        assert_eq!(key.prefix()[..2], [0xdd, 0x83]);
    }

    #[test]
    fn the_front_of_a_key_finds_its_record() {
        let key = ClaimKey::derive("partner", "order", ["merchant", "reference"]);
        let whole = key.to_string();
        for digits in [16, 18, 32, 38, 40, 42, 64] {
            let front = KeyFront::parse(&whole[..digits]).unwrap();
            assert!(front.fits(&key.prefix()), "{digits}");
            assert_eq!(KeyFront::parse(&whole[..digits].to_uppercase()), Some(front));
            assert_eq!(front.reference(), (digits >= 40).then(|| key.reference()), "{digits}");
            let mut other = key.prefix();
            other[7] ^= 1;
            assert!(!front.fits(&other), "{digits}");
        }
        let logged = KeyFront::parse(&key.reference().to_string()).unwrap();
        assert_eq!(logged.reference(), Some(key.reference()));
    }

    #[test]
    fn what_is_no_front_of_a_key_is_none() {
        let digits = "dd8338c744f7dae9a7820cc693034abc5c3d314d5f6a924e2786df04fbd004cb";
        let long = format!("{digits}00");
        let texts = [
            "",
            "0",
            &digits[..14],
            &digits[..15],
            &digits[..17],
            &long,
            "dd8338c744f7dag9",
            "dd8338c744f7da +",
            "0xdd8338c744f7da",
            "\"dd8338c744f7dae9\"",
            "dd8338c744f7daé",
        ];
        for text in texts {
            assert_eq!(KeyFront::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fingerprints_tell_kinds_and_places_apart() {
        let key = ClaimKey::derive("p", "order", ["r"]);
        let text = |text: &'static str| Scalar::Text(text.into());
        let (one, ten) = (text("1"), text("10"));
        let number = Scalar::Number("1".to_owned());
        let cases: [&[Option<&Scalar<'_>>]; 7] = [
            &[Some(&one), None],
            &[None, Some(&one)],
            &[Some(&number), None],
            &[Some(&ten), None],
            &[Some(&Scalar::Null), None],
            &[Some(&Scalar::Bool(true)), None],
            &[Some(&Scalar::Bool(false)), None],
        ];
        let prints: Vec<_> =
            cases.iter().map(|case| Fingerprint::of_fields(&key, case.iter().copied())).collect();
        for (at, print) in prints.iter().enumerate() {
            assert!(!prints[..at].contains(print), "{at}");
        }
        assert_ne!(Fingerprint::of_body(&key, b"1"), Fingerprint::of_body(&key, b"2"));
    }

    #[test]
    fn a_key_is_quoted_so_that_it_reads_back_as_itself() {
        for key in ["k-1", r#"a"b"#, r"a\b", " ", r#"\""#] {
            assert_eq!(parse_idempotency_key(&quote(key)).as_deref(), Ok(key), "{key}");
        }
        assert_eq!(quote("k-1"), "\"k-1\"");
    }

    #[test]
    fn header_keys_quoted_and_bare_are_the_same_key() {
        let check = |header: &str, expected: Result<&str, &str>| {
            let parsed = parse_idempotency_key(header);
            match expected {
                Ok(key) => assert_eq!(parsed.as_deref(), Ok(key), "{header}"),
                Err(part) => assert!(parsed.unwrap_err().contains(part), "{header}"),
            }
        };
        check("\"8e03978e-40d5\"", Ok("8e03978e-40d5"));
        check("8e03978e-40d5", Ok("8e03978e-40d5"));
        check(r#""a\"b\\c""#, Ok(r#"a"b\c"#));
        check("\" \"", Ok(" "));
        check("", Err("empty"));
        check("\"\"", Err("empty"));
        check("\"a", Err("well-formed"));
        check("\"a\";v=1", Err("well-formed"));
        check("\"a\", \"b\"", Err("well-formed"));
        check("a,b", Err("one token"));
        check("a b", Err("one token"));
        check("é", Err("one token"));
        check(r#""a\n""#, Err("well-formed"));
        check(&"x".repeat(256), Err("longer"));
        check(&"x".repeat(255), Ok(&"x".repeat(255)));
    }
}
