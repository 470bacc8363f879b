//! Who writes: each plugin of each of Envoy's threads that ever had something to write down.

use std::fmt;

use crate::engine::codec::Reader;
use crate::engine::time::Timestamp;

/// A writer of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditWriter {
    /// When the first writer of this Envoy process began, in milliseconds since the Unix epoch.
    pub epoch: u64,
    /// No other writer of the process has this number, nor had.
    pub number: u64,
}

impl fmt::Display for AuditWriter {
    /// `EPOCH.NUMBER`, the first in base 36.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::new();
        let mut rest = self.epoch;
        while rest > 0 || digits.is_empty() {
            digits.extend(u32::try_from(rest % 36).ok().and_then(|one| char::from_digit(one, 36)));
            rest /= 36;
        }
        let epoch: String = digits.into_iter().rev().collect();
        write!(f, "{epoch}.{}", self.number)
    }
}

impl AuditWriter {
    /// Reads one as it stands in a line; `None` for any other spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('.')?;
        let (epoch, number) = (u64::from_str_radix(epoch, 36).ok()?, number.parse().ok()?);
        let writer = Self { epoch, number };
        (writer.to_string() == text).then_some(writer)
    }
}

/// The writers of one process so far, as a shared value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writers {
    /// When the first one began.
    epoch: u64,
    /// The number of the last one.
    last: u64,
}

impl Writers {
    /// The value with one more writer, and that writer. Bytes of another form begin anew: then the epoch
    /// tells the writers apart.
    #[must_use]
    pub fn next(bytes: &[u8], now: Timestamp) -> (Self, AuditWriter) {
        let known = Self::decode(bytes).unwrap_or(Self { epoch: now.as_millis(), last: 0 });
        let writers = Self { last: known.last.saturating_add(1), ..known };
        (writers, AuditWriter { epoch: writers.epoch, number: writers.last })
    }

    /// As a shared value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.epoch, self.last].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// Reads one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let writers = Self { epoch: reader.long()?, last: reader.long()? };
        reader.0.is_empty().then_some(writers)
    }

    /// The last `most` of them, the newest first.
    pub fn latest(self, most: u64) -> impl Iterator<Item = AuditWriter> {
        let first = self.last.saturating_sub(most).saturating_add(1);
        (first..=self.last).rev().map(move |number| AuditWriter { epoch: self.epoch, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_numbered_within_their_process() {
        let now = Timestamp::from_millis(1_795_883_656_659);
        let (one, first) = Writers::next(&[], now);
        let (two, second) = Writers::next(&one.encode(), Timestamp::from_millis(9));
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(first.epoch, second.epoch);
        let latest: Vec<u64> = two.latest(16).map(|writer| writer.number).collect();
        assert_eq!(latest, [2, 1]);
        assert_eq!(two.latest(1).next(), Some(second));
        assert_eq!(Writers::decode(b"no"), None);
        assert_eq!(Writers::next(b"no", now).1, first);
    }

    #[test]
    fn a_writer_has_one_spelling() {
        for (writer, text) in [
            (AuditWriter { epoch: 0, number: 1 }, "0.1"),
            (AuditWriter { epoch: 1_795_883_656_659, number: 12 }, "mx0mre1f.12"),
            (
                AuditWriter { epoch: u64::MAX, number: u64::MAX },
                "3w5e11264sgsf.18446744073709551615",
            ),
        ] {
            assert_eq!(writer.to_string(), text);
            assert_eq!(AuditWriter::parse(text), Some(writer));
        }
        for bad in
            ["", ".", "a", "a.", ".1", "A.1", "0a.1", "a.01", "a.+1", "a.1.2", "zzzzzzzzzzzzzz.1"]
        {
            assert_eq!(AuditWriter::parse(bad), None, "{bad}");
        }
    }
}
