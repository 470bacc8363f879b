//! Failures by source, so that one partner or one operation alone cannot open a gateway's breaker
//! while payments of others go well there.
//!
//! Sources are identified by the slots of a hash. Two sources that share a slot count as one, which caps
//! less. A successful payment clears a source until a payment of the same source fails. Counts are
//! kept for the current window and the one before.
//!
//! The part of one partner is capped in runs of failures and in rates. The part of one operation is
//! capped only in runs, and not for long: most platforms make nearly all their payments by one
//! operation, and if half of those fail the gateway must be left.

use crate::engine::codec::Reader;
use crate::engine::time::{Millis, Timestamp};

/// Slots of the hash by which sources are identified.
pub(in crate::engine) const SLOTS: usize = 32;

/// The partner and the operation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    partner: u8,
    operation: u8,
    pays: bool,
}

/// A payment of no particular partner.
impl Default for Source {
    fn default() -> Self {
        Self { partner: 0, operation: 0, pays: true }
    }
}

/// Partners and operations with a successful payment: a bit for each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payers {
    partners: u32,
    operations: u32,
}

/// The failures and successes at a gateway, by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FairShare {
    /// When the current window began.
    began: Timestamp,
    partners: Spread,
    operations: Spread,
}

/// Counts by one kind of source, for the current window and the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spread([Half; 2]);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Half {
    failures: [u8; SLOTS],
    succeeded: u32,
}

impl Source {
    /// A call of `partner` by `operation`; `pays` if it moves money.
    #[must_use]
    pub fn new(partner: &str, operation: &str, pays: bool) -> Self {
        Self { partner: slot(partner), operation: slot(operation), pays }
    }

    /// The slot of its partner.
    pub(in crate::engine) const fn partner(self) -> usize {
        self.partner as usize
    }

    /// The bit of its partner's slot.
    pub(in crate::engine) const fn bit(self) -> u32 {
        bit(self.partner)
    }

    /// Whether it moves money.
    #[must_use]
    pub const fn pays(self) -> bool {
        self.pays
    }

    /// What its success shows: nothing, unless it moves money.
    #[must_use]
    pub fn seen(self) -> Payers {
        if !self.pays {
            return Payers::default();
        }
        Payers { partners: bit(self.partner), operations: bit(self.operation) }
    }
}

impl Payers {
    /// The union of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            partners: self.partners | other.partners,
            operations: self.operations | other.operations,
        }
    }
}

impl FairShare {
    /// Counts a call of `source` that failed or was slow.
    pub(super) fn failure(&mut self, source: Source, now: Timestamp, window: Millis) {
        self.slide(now, window);
        self.partners.failure(source.partner);
        self.operations.failure(source.operation);
    }

    /// Notes that calls of these sources succeeded.
    pub(super) fn success(&mut self, seen: Payers, now: Timestamp, window: Millis) {
        self.slide(now, window);
        self.partners.success(seen.partners);
        self.operations.success(seen.operations);
    }

    /// How many of `failures` (or slow answers) count. At most `pct` percent of the result comes from
    /// one partner, while payments of another one go well.
    #[must_use]
    pub(super) fn counted(&self, failures: u32, now: Timestamp, window: Millis, pct: u32) -> u32 {
        self.at(now, window).partners.counted(failures, pct)
    }

    /// The same by operation.
    #[must_use]
    pub(super) fn counted_by_operation(
        &self,
        failures: u32,
        now: Timestamp,
        window: Millis,
        pct: u32,
    ) -> u32 {
        self.at(now, window).operations.counted(failures, pct)
    }

    /// Whether the failures seem to be this partner's own: its last payment failed or was slow, and
    /// payments of another one go well.
    #[must_use]
    pub(super) fn is_suspected(&self, source: Source, now: Timestamp, window: Millis) -> bool {
        let partners = self.at(now, window).partners;
        let own = bit(source.partner);
        partners.failing() & own != 0 && partners.succeeded() & !own != 0
    }

    /// The partners whose last payment failed or was slow, a bit for each slot.
    #[must_use]
    pub(in crate::engine) fn failing(&self, now: Timestamp, window: Millis) -> u32 {
        self.at(now, window).partners.failing()
    }

    /// Whether payments of other partners than this one go well.
    #[must_use]
    pub(super) fn others_pay(&self, source: Source, now: Timestamp, window: Millis) -> bool {
        self.at(now, window).partners.succeeded() & !bit(source.partner) != 0
    }

    fn at(&self, now: Timestamp, window: Millis) -> Self {
        let mut at_now = self.clone();
        at_now.slide(now, window);
        at_now
    }

    fn slide(&mut self, now: Timestamp, window: Millis) {
        let (begins, gone) = windows_gone(self.began, now, window);
        if gone == 0 {
            return;
        }
        for spread in [&mut self.partners, &mut self.operations] {
            spread.0.rotate_right(gone % 2);
            for half in spread.0.iter_mut().take(gone) {
                *half = Half::default();
            }
        }
        self.began = begins;
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.began.as_millis().to_le_bytes());
        for half in self.partners.0.iter().chain(&self.operations.0) {
            bytes.extend(half.succeeded.to_le_bytes());
            // Usually there are no failures, and every request reads these bytes.
            let any = half.failures.iter().any(|count| *count > 0);
            bytes.push(u8::from(any));
            bytes.extend(half.failures.iter().filter(|_| any));
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let began = bytes.time()?;
        let mut half = || {
            let succeeded = bytes.word()?;
            let failures = if bytes.byte()? == 0 { [0; SLOTS] } else { bytes.take()? };
            Some(Half { failures, succeeded })
        };
        let partners = Spread([half()?, half()?]);
        let operations = Spread([half()?, half()?]);
        Some(Self { began, partners, operations })
    }
}

impl Spread {
    fn failure(&mut self, slot: u8) {
        for half in &mut self.0 {
            half.succeeded &= !bit(slot);
        }
        let [newest, _] = &mut self.0;
        if let Some(count) = newest.failures.get_mut(usize::from(slot)) {
            *count = count.saturating_add(1);
        }
    }

    const fn success(&mut self, slots: u32) {
        let [newest, _] = &mut self.0;
        newest.succeeded |= slots;
    }

    const fn succeeded(&self) -> u32 {
        let [newest, before] = &self.0;
        newest.succeeded | before.succeeded
    }

    /// The sources with a failure and no success since.
    fn failing(&self) -> u32 {
        let failed = self.0.iter().flat_map(|half| (0u8..).zip(&half.failures));
        let slots = failed.filter(|(_, count)| **count > 0);
        slots.fold(0, |slots, (slot, _)| slots | bit(slot)) & !self.succeeded()
    }

    fn counted(&self, failures: u32, pct: u32) -> u32 {
        let [newest, before] = &self.0;
        let counts = newest.failures.iter().zip(&before.failures);
        let counts = counts.map(|(a, b)| u64::from(*a) + u64::from(*b));
        let (all, (worst, most)) =
            (0u8..).zip(counts).fold((0, (0, 0)), |(all, worst), (slot, count)| {
                (all + count, if count > worst.1 { (slot, count) } else { worst })
            });
        let others_go_well = self.succeeded() & !bit(worst) != 0;
        if !others_go_well || all == 0 || pct >= 100 {
            return failures;
        }
        let others = all - most;
        let allowed = most.min(others * u64::from(pct) / u64::from(100 - pct));
        u32::try_from(u64::from(failures) * (others + allowed) / all).unwrap_or(failures)
    }
}

/// Which partners sent payments in the current window and the one before, a bit for each slot. It
/// shows whether another partner can make a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// When the current window began.
    began: Timestamp,
    /// The newest first.
    halves: [u32; 2],
}

impl Asked {
    /// Notes that these partners have sent a payment.
    pub(super) fn note(&mut self, partners: u32, now: Timestamp, window: Millis) {
        let (begins, gone) = windows_gone(self.began, now, window);
        let [newest, before] = self.halves;
        self.halves = match gone {
            0 => [newest | partners, before],
            1 => [partners, newest],
            _ => [partners, 0],
        };
        self.began = begins;
    }

    /// The partners that have sent payments, at `now`.
    #[must_use]
    pub(super) fn at(&self, now: Timestamp, window: Millis) -> u32 {
        let [newest, before] = self.halves;
        match windows_gone(self.began, now, window).1 {
            0 => newest | before,
            1 => newest,
            _ => 0,
        }
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.began.as_millis().to_le_bytes());
        bytes.extend(self.halves.into_iter().flat_map(u32::to_le_bytes));
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self { began: bytes.time()?, halves: [bytes.word()?, bytes.word()?] })
    }
}

/// When the window of `now` begins, and how many windows have passed since the one that began at
/// `began`: 2 for more. Windows begin at multiples of their length. After a step back of the clock
/// all counts are dropped.
fn windows_gone(began: Timestamp, now: Timestamp, window: Millis) -> (Timestamp, usize) {
    let length = window.get().max(1);
    let begins = Timestamp::from_millis(now.as_millis() / length * length);
    let gone = match begins.since(began).get() / length {
        0 if begins >= began => 0,
        1 => 1,
        _ => 2,
    };
    (begins, gone)
}

const fn bit(slot: u8) -> u32 {
    1 << (slot % 32)
}

/// FNV-1a, mixed once more. It spreads names evenly and need not be secret.
fn slot(name: &str) -> u8 {
    let hash = name
        .bytes()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [.., high] = (hash ^ (hash >> 15)).wrapping_mul(0x2C1B_3C6D).to_le_bytes();
    high % 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Millis = Millis::new(1000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn source(partner: &str, operation: &str) -> Source {
        Source::new(partner, operation, true)
    }

    /// Sources after these partners had trouble and those went well.
    fn partners(failure: &str, well: &str) -> FairShare {
        let mut fair_share = FairShare::default();
        for partner in failure.split_whitespace() {
            // Each by another operation, so that only partners are capped.
            let mut operation = Source { operation: 0, ..source(partner, "") };
            operation.operation = fair_share.partners.0[0].failures.iter().sum::<u8>() % 32;
            fair_share.failure(operation, at(0), WINDOW);
        }
        for partner in well.split_whitespace() {
            fair_share.success(source(partner, "other").seen(), at(0), WINDOW);
        }
        fair_share
    }

    #[test]
    fn names_are_scattered_over_the_slots() {
        let mut counts = [0; SLOTS];
        for name in 0..3200 {
            counts[usize::from(slot(&format!("merchant-{name}")))] += 1;
        }
        assert!(counts.iter().all(|count| (60..150).contains(count)), "{counts:?}");
        let slots = ["ana", "budi", "citra"].map(slot);
        assert!(slots[0] != slots[1] && slots[1] != slots[2] && slots[0] != slots[2], "{slots:?}");
    }

    #[test]
    fn one_partner_alone_counts_only_while_no_other_one_pays() {
        for (failure, well, counted) in [
            ("ana ana ana ana ana ana", "", 6),
            ("ana ana ana ana ana ana", "ana", 6),
            ("ana ana ana ana ana ana", "budi", 0),
            ("ana ana ana ana ana budi", "citra", 2),
            ("ana ana ana budi budi budi", "citra", 6),
            ("ana ana ana ana budi citra", "dewi", 4),
        ] {
            let fair_share = partners(failure, well);
            assert_eq!(fair_share.counted(6, at(0), WINDOW, 50), counted, "{failure} | {well}");
        }
    }

    #[test]
    fn the_share_is_what_was_configured() {
        let fair_share = partners("ana ana ana ana ana ana ana ana budi budi", "citra");
        for (pct, counted) in [(1, 2), (20, 2), (50, 4), (60, 5), (80, 10), (100, 10)] {
            assert_eq!(fair_share.counted(10, at(0), WINDOW, pct), counted, "{pct}%");
        }
    }

    #[test]
    fn one_operation_alone_does_not_count_while_another_one_pays() {
        let mut fair_share = FairShare::default();
        for partner in ["ana", "budi", "citra"] {
            fair_share.failure(source(partner, "top-up"), at(0), WINDOW);
        }
        assert_eq!(fair_share.counted_by_operation(3, at(0), WINDOW, 50), 3);
        let question = Source::new("ana", "status", false);
        fair_share.success(question.seen(), at(0), WINDOW);
        assert_eq!(
            fair_share.counted_by_operation(3, at(0), WINDOW, 50),
            3,
            "questions do not speak for it"
        );
        fair_share.success(source("ana", "create").seen(), at(0), WINDOW);
        assert_eq!(fair_share.counted_by_operation(3, at(0), WINDOW, 50), 0);
    }

    #[test]
    fn who_fails_no_longer_speaks_for_the_gateway() {
        let mut fair_share = partners("ana ana ana", "budi");
        assert_eq!(fair_share.counted(3, at(0), WINDOW, 50), 0);
        fair_share.failure(source("budi", "create"), at(0), WINDOW);
        assert_eq!(fair_share.counted(4, at(0), WINDOW, 50), 4);
        fair_share.success(source("budi", "create").seen(), at(0), WINDOW);
        assert_eq!(fair_share.counted(4, at(0), WINDOW, 50), 2);
    }

    #[test]
    fn what_went_well_speaks_for_two_windows_at_most() {
        let mut fair_share = FairShare::default();
        fair_share.success(source("budi", "create").seen(), at(0), WINDOW);
        for (later, counted) in [(900, 0), (1500, 0), (1999, 0), (2000, 2), (9000, 2)] {
            let mut fair_share = fair_share.clone();
            fair_share.failure(source("ana", "create"), at(later), WINDOW);
            fair_share.failure(source("ana", "create"), at(later), WINDOW);
            assert_eq!(fair_share.counted(2, at(later), WINDOW, 50), counted, "{later} ms");
        }
        fair_share.failure(source("ana", "create"), at(500), WINDOW);
        assert_eq!(fair_share.counted(1, at(500), WINDOW, 50), 0);
        assert_eq!(fair_share.counted(1, Timestamp::from_millis(5), WINDOW, 50), 1, "stepped back");
    }

    #[test]
    fn a_partner_is_suspected_while_its_last_payment_failed_and_others_go_well() {
        let suspected = |fair_share: &FairShare, partner| {
            fair_share.is_suspected(source(partner, "create"), at(0), WINDOW)
        };
        let fair_share = partners("ana ana", "budi");
        assert!(suspected(&fair_share, "ana") && !suspected(&fair_share, "budi"));
        assert!(!suspected(&fair_share, "citra"), "never seen");
        assert!(!suspected(&partners("ana ana", ""), "ana"), "nobody else pays");
        assert!(!suspected(&partners("ana ana", "ana budi"), "ana"), "it has paid since");
        assert!(!fair_share.is_suspected(source("ana", "create"), at(2000), WINDOW), "long ago");
    }

    #[test]
    fn who_asked_is_known_for_a_window_and_a_part_of_the_next() {
        let [ana, budi] = ["ana", "budi"].map(|partner| source(partner, "create").bit());
        let mut asked = Asked::default();
        asked.note(ana, at(0), WINDOW);
        asked.note(budi, at(1500), WINDOW);
        for (later, known) in [(1999, ana | budi), (2000, budi), (2999, budi), (3000, 0)] {
            assert_eq!(asked.at(at(later), WINDOW), known, "{later} ms");
        }
        assert_eq!(asked.at(Timestamp::from_millis(5), WINDOW), 0, "stepped back");
        let mut bytes = Vec::new();
        asked.encode(&mut bytes);
        assert_eq!(Asked::decode(&mut Reader(&bytes)), Some(asked));
    }

    #[test]
    fn stored_and_read_again_it_is_the_same() {
        for fair_share in [FairShare::default(), partners("ana ana budi", "citra")] {
            let mut bytes = Vec::new();
            fair_share.encode(&mut bytes);
            assert_eq!(FairShare::decode(&mut Reader(&bytes)), Some(fair_share));
            assert_eq!(FairShare::decode(&mut Reader(&bytes[..bytes.len() - 1])), None);
        }
    }
}
