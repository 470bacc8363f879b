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

/// How a gateway treats payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Works,
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
    /// Changes of mind until `heals`; from then on it works and says so.
    pub(crate) fn draw(lot: &mut Lot, heals: u64) -> Self {
        let mut ways = Vec::new();
        let mut until = 0;
        while until < heals {
            until = heals.min(until + lot.from(500, 5000));
            let conduct = match lot.from(0, 11) {
                0..=3 => Conduct::Works,
                4 | 5 => Conduct::Fails,
                6 => Conduct::Slow,
                7 => Conduct::Throttles,
                8 => Conduct::Hangs,
                9 => Conduct::Refuses,
                10 => Conduct::Declines,
                _ => Conduct::Flaps(lot.from(50, 1500)),
            };
            let beats = match lot.from(0, 9) {
                0..=5 => Beats::Honest,
                6 | 7 => Beats::Good,
                8 => Beats::Bad,
                _ => Beats::Silent,
            };
            ways.push((until, conduct, beats));
        }
        Self(ways)
    }

    fn at(&self, at: u64) -> (Conduct, Beats) {
        let way = self.0.iter().find(|(until, ..)| at < *until);
        let (conduct, beats) =
            way.map_or((Conduct::Works, Beats::Honest), |(_, conduct, beats)| (*conduct, *beats));
        let conduct = if let Conduct::Flaps(turn) = conduct {
            if (at / turn).is_multiple_of(2) { Conduct::Works } else { Conduct::Fails }
        } else {
            conduct
        };
        (conduct, beats)
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
