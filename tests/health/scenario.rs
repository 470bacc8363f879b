//! What a seed makes of the gateways: who works when, and whose heartbeats say so.

/// A small generator (splitmix64): the same numbers everywhere, for ever.
#[derive(Clone)]
pub(crate) struct Lot(u64);

impl Lot {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) const fn from(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    pub(crate) const fn one_in(&mut self, many: u64) -> bool {
        self.draw().is_multiple_of(many)
    }
}

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plot {
    /// Everything that can happen, until all is well again.
    Anything,
    /// Gateways that work for everybody but one partner, whose payments always fail.
    OneBadPartner,
    /// The first gateway answers nothing any more, and clients give up when they like.
    Hang,
}

/// Partners, the last of whom may be the bad one. Breakers tell all of them apart.
pub(crate) const PARTNERS: [&str; 4] = ["ana", "budi", "citra", "dewi"];

/// When clients give up waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Now and then, at any time.
    Mixed,
    /// Each after so many milliseconds at the latest.
    All(u64),
    /// Each after a time of its own, of at most so many milliseconds.
    Any(u64),
    /// One partner's clients after so many milliseconds, all others never.
    OnePartner(u64),
}

impl Patience {
    pub(crate) const fn draw(lot: &mut Lot) -> Self {
        match lot.from(0, 4) {
            0 => Self::Mixed,
            1 => Self::All(lot.from(50, 3000)),
            2 => Self::All(lot.from(50, 12_000)),
            3 => Self::Any(lot.from(100, 12_000)),
            _ => Self::OnePartner(lot.from(50, 5000)),
        }
    }

    /// After how long a payment's client leaves; `None` if it waits for the end.
    pub(crate) fn draw_one(self, partner: &str, lot: &mut Lot) -> Option<u64> {
        match self {
            Self::Mixed => None,
            Self::All(millis) => Some(millis),
            Self::Any(most) => Some(lot.from(20, most)),
            Self::OnePartner(millis) => (partner == PARTNERS[0]).then_some(millis),
        }
    }
}

/// How a gateway treats payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Works,
    /// Fails one of seven, and never two in a row.
    Mostly,
    Declines,
    Fails,
    /// Works, but slowly.
    Slow,
    Throttles,
    /// Takes requests and never answers.
    Hangs,
    /// Cannot be connected to.
    Refuses,
    /// Works and fails in turns of so many milliseconds.
    Flaps(u64),
}

/// What its heartbeats are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beats {
    /// Good where payments would be answered.
    Honest,
    /// Whatever happens to payments.
    Good,
    Bad,
    /// None is ever answered, nor ends before its time is up.
    Silent,
}

/// What an operator wants of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Drain,
    Force,
    Release,
}

impl Wish {
    pub(crate) const fn draw(lot: &mut Lot) -> Self {
        match lot.from(0, 4) {
            0 | 1 => Self::Drain,
            2 | 3 => Self::Force,
            _ => Self::Release,
        }
    }
}

/// A gateway's ways, one after the other, each until its time.
#[derive(Debug)]
pub(crate) struct Ways(Vec<(u64, Conduct, Beats)>);

impl Ways {
    /// The same from beginning to end, but for the first milliseconds, when it works.
    pub(crate) fn constant(from: u64, conduct: Conduct) -> Self {
        let ever = (u64::MAX, conduct, Beats::Honest);
        Self(vec![(from, Conduct::Works, Beats::Honest), ever])
    }

    /// Changes of mind until `heals`; from then on it works and says so.
    pub(crate) fn draw(lot: &mut Lot, heals: u64) -> Self {
        let mut ways = Vec::new();
        let mut until = 0;
        while until < heals {
            until = heals.min(until + lot.from(500, 5000));
            let conduct = match lot.from(0, 12) {
                12 => Conduct::Mostly,
                0..=3 => Conduct::Works,
                4 | 5 => Conduct::Fails,
                6 => Conduct::Slow,
                7 => Conduct::Throttles,
                8 => Conduct::Hangs,
                9 => Conduct::Refuses,
                10 => Conduct::Declines,
                _ => Conduct::Flaps(lot.from(50, 1500)),
            };
            let probes = match lot.from(0, 9) {
                0..=5 => Beats::Honest,
                6 | 7 => Beats::Good,
                8 => Beats::Bad,
                _ => Beats::Silent,
            };
            ways.push((until, conduct, probes));
        }
        Self(ways)
    }

    fn at(&self, at: u64) -> (Conduct, Beats) {
        let way = self.0.iter().find(|(until, ..)| at < *until);
        let (conduct, probes) =
            way.map_or((Conduct::Works, Beats::Honest), |(_, conduct, probes)| (*conduct, *probes));
        let conduct = if let Conduct::Flaps(turn) = conduct {
            if (at / turn).is_multiple_of(2) { Conduct::Works } else { Conduct::Fails }
        } else {
            conduct
        };
        (conduct, probes)
    }

    pub(crate) fn conduct(&self, at: u64) -> Conduct {
        self.at(at).0
    }

    /// Whether a heartbeat is good; `None` when no answer comes.
    pub(crate) fn beat(&self, at: u64) -> Option<bool> {
        match self.at(at) {
            (Conduct::Hangs, Beats::Honest) | (_, Beats::Silent) => None,
            (Conduct::Fails | Conduct::Refuses, Beats::Honest) | (_, Beats::Bad) => Some(false),
            (_, Beats::Honest | Beats::Good) => Some(true),
        }
    }
}
