//! What was published last: how far the writers of this process were, and when.

use super::chain::Head;
use crate::engine::codec::Reader;
use crate::engine::limits;
use crate::engine::time::Timestamp;

/// What was published last, as a shared value. Whoever writes it anew is the one who publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedHeads {
    /// When.
    pub at: Timestamp,
    /// The newest writer first.
    pub heads: Vec<Head>,
}

impl PublishedHeads {
    /// Whether it is time to publish again. A clock that was put back delays nothing.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now < self.at || now.since(self.at).get() >= limits::AUDIT_PUBLISHED_MS
    }

    /// Heads that are not those of last time.
    pub fn moved<'h>(&'h self, heads: &'h [Head]) -> impl Iterator<Item = &'h Head> {
        heads.iter().filter(|head| !self.heads.contains(head))
    }

    /// As a shared value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let at = self.at.as_millis().to_le_bytes();
        at.into_iter().chain(self.heads.iter().flat_map(Head::encode)).collect()
    }

    /// Reads one; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let at = Timestamp::from_millis(reader.long()?);
        let (heads, rest) = reader.0.as_chunks::<{ Head::SIZE }>();
        let heads: Option<Vec<Head>> = heads.iter().map(|head| Head::decode(head)).collect();
        rest.is_empty().then_some(Self { at, heads: heads? })
    }

    /// As Envoy's log has them, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        self.heads.iter().map(|head| format!("audit head {}\n", head.line())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audit::{AuditWriter, Digest};

    fn head(number: u64) -> Head {
        let writer = AuditWriter { epoch: 1_795_883_656_659, number };
        Head { writer, number: number * 7, digest: Digest::of(&[1]) }
    }

    #[test]
    fn it_is_due_after_a_while_and_after_a_clock_that_was_put_back() {
        let at = Timestamp::from_millis(1_000_000);
        let last = PublishedHeads { at, heads: Vec::new() };
        let later = |millis| Timestamp::from_millis(1_000_000 + millis);
        assert!(!last.is_due(at) && !last.is_due(later(limits::AUDIT_PUBLISHED_MS - 1)));
        assert!(last.is_due(later(limits::AUDIT_PUBLISHED_MS)));
        assert!(last.is_due(Timestamp::from_millis(999_999)));
        assert!(PublishedHeads::default().is_due(at));
    }

    #[test]
    fn what_was_published_is_read_again() {
        let at = Timestamp::from_millis(7);
        let published = PublishedHeads { at, heads: vec![head(2), head(1)] };
        let bytes = published.encode();
        assert_eq!(PublishedHeads::decode(&bytes), Some(published.clone()));
        for cut in (0..bytes.len()).filter(|cut| ![8, 8 + Head::SIZE].contains(cut)) {
            assert_eq!(PublishedHeads::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(published.moved(&[head(3), head(2)]).collect::<Vec<_>>(), [&head(3)]);
        let lines: Vec<String> = published.text().lines().map(str::to_owned).collect();
        assert_eq!(lines, [2, 1].map(|number| format!("audit head {}", head(number).line())));
    }
}
