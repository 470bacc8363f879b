//! One writer's chain: each entry has a number, and the digest of the entry before it.

use super::entry::{AuditEntry, push_number};
use super::writers::AuditWriter;
use crate::engine::codec::{Reader, sha256};

/// SHA-256 of an entry's line, without its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self(sha256(line))
    }

    /// As it stands in a line: base64url without padding (RFC 4648), 43 characters.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(43);
        self.push_to(&mut text);
        text
    }

    fn push_to(&self, text: &mut String) {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digit = |bits: u32| DIGITS.get((bits & 63) as usize).copied().unwrap_or_default();
        let mut digits = [0; 44];
        for (four, three) in digits.as_chunks_mut::<4>().0.iter_mut().zip(self.0.chunks(3)) {
            let mut bytes = [0; 4];
            bytes.iter_mut().skip(1).zip(three).for_each(|(to, byte)| *to = *byte);
            let bits = u32::from_be_bytes(bytes);
            *four = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
        }
        // 32 bytes are 43 digits: the last group has two bytes, and its last digit says nothing.
        let [digits @ .., _] = digits;
        text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// Reads one that stands in a line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = |byte: &u8| {
            Some(match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            })
        };
        let mut bytes = [0; 33];
        let (mut held, mut bits, mut at) = (0_u32, 0, 0);
        for byte in text.as_bytes() {
            held = (held << 6 | u32::from(value(byte)?)) & 0xfff;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                *bytes.get_mut(at)? = u8::try_from(held >> bits & 0xff).ok()?;
                at += 1;
            }
        }
        let [digest @ .., 0] = bytes else { return None };
        let digest = Self(digest);
        // One digest, one spelling: the last digit has two bits that say nothing.
        (digest.text() == text).then_some(digest)
    }
}

/// How far a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose chain.
    pub writer: AuditWriter,
    /// The number of its last entry.
    pub number: u64,
    /// The digest of that.
    pub digest: Digest,
}

impl Head {
    /// Bytes of one as a shared value.
    pub(super) const SIZE: usize = 56;

    /// The first 96 bits of its digest as two numbers of 48 bits: what a gauge holds exactly.
    #[must_use]
    pub fn halves(&self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.digest.0;
        [[0, 0, a, b, c, d, e, f], [0, 0, g, h, i, j, k, l]].map(u64::from_be_bytes)
    }

    /// As a shared value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [self.writer.epoch, self.writer.number, self.number];
        let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
        numbers.chain(self.digest.0).collect()
    }

    /// Reads one; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let writer = AuditWriter { epoch: reader.long()?, number: reader.long()? };
        let (number, digest) = (reader.long()?, Digest(reader.take()?));
        reader.0.is_empty().then_some(Self { writer, number, digest })
    }

    /// As it is published: `WRITER NUMBER DIGEST`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}", self.writer, self.number, self.digest.text())
    }

    /// Reads one that was published.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let head = Self {
            writer: AuditWriter::parse(words.next()?)?,
            number: words.next()?.parse().ok()?,
            digest: Digest::parse(words.next()?)?,
        };
        words.next().is_none().then_some(head)
    }
}

/// A chain that is being written.
#[derive(Debug)]
pub struct Chain {
    writer: AuditWriter,
    /// `WRITER`, as it stands in each line.
    name: String,
    /// None before the first entry.
    head: Option<Head>,
}

impl Chain {
    /// One that begins. Its first entry has the number 0 and no `prev`.
    #[must_use]
    pub fn new(writer: AuditWriter) -> Self {
        Self { writer, name: writer.to_string(), head: None }
    }

    /// How far it is.
    #[must_use]
    pub const fn head(&self) -> Option<Head> {
        self.head
    }

    /// Adds an entry: its line, without a line feed.
    pub fn append(&mut self, members: &AuditEntry) -> String {
        let number = self.head.map_or(0, |head| head.number.saturating_add(1));
        let mut line = String::with_capacity(members.as_str().len() + 128);
        line.push_str("{\"v\":1,\"w\":\"");
        line.push_str(&self.name);
        line.push_str("\",\"n\":");
        push_number(&mut line, number);
        line.push(',');
        line.push_str(members.as_str());
        if let Some(head) = &self.head {
            line.push_str(",\"prev\":\"");
            head.digest.push_to(&mut line);
            line.push('"');
        }
        line.push('}');
        let digest = Digest::of(line.as_bytes());
        self.head = Some(Head { writer: self.writer, number, digest });
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Timestamp;

    const WRITER: AuditWriter = AuditWriter { epoch: 1_795_883_656_659, number: 3 };

    #[test]
    fn each_entry_names_the_one_before() {
        let mut chain = Chain::new(WRITER);
        assert_eq!(chain.head(), None);
        let members = AuditEntry::new("start", Timestamp::from_millis(0));
        let lines: Vec<String> = (0..3).map(|_| chain.append(&members)).collect();
        assert_eq!(
            lines[0],
            r#"{"v":1,"w":"mx0mre1f.3","n":0,"t":"1970-01-01T00:00:00.000Z","e":"start"}"#
        );
        for (number, pair) in (1..).zip(lines.windows(2)) {
            let value: serde_json::Value = serde_json::from_str(&pair[1]).unwrap();
            assert_eq!(value["n"], number);
            let digest = Digest::of(pair[0].as_bytes());
            assert_eq!(value["prev"], digest.text());
        }
        let head = chain.head().unwrap();
        assert_eq!((head.number, head.digest), (2, Digest::of(lines[2].as_bytes())));
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(Head::parse(&head.line()), Some(head));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        // RFC 4648 by an implementation of its own: SHA-256 of nothing.
        let empty = Digest::of(b"");
        assert_eq!(empty.text(), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        for number in 0..300_u32 {
            let digest = Digest::of(&number.to_le_bytes());
            let text = digest.text();
            assert_eq!((text.len(), Digest::parse(&text)), (43, Some(digest)));
            assert_eq!(Digest::parse(&text[..42]), None);
            assert_eq!(Digest::parse(&format!("{text}A")), None);
        }
        assert_eq!(Digest::parse("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV"), None);
        assert_eq!(Digest::parse("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"), None);
    }

    #[test]
    fn what_is_no_head_is_none() {
        let head = Head { writer: WRITER, number: 7, digest: Digest::of(b"x") };
        let bytes = head.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Head::decode(&bytes[..cut]), None);
        }
        assert_eq!(Head::decode(&[bytes.as_slice(), &[0]].concat()), None);
        for bad in ["", "mx0mre1f.3", "mx0mre1f.3 7", &format!("{} x", head.line())] {
            assert_eq!(Head::parse(bad), None, "{bad}");
        }
    }
}
