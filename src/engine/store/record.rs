//! The stored form of one record: a claim, with its key before it.
//!
//! A claim of version 1, little-endian, [`SIZE`] bytes:
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | length of the record |
//! | 1 | 1 | version |
//! | 2 | 16 | key prefix |
//! | 18 | 16 | fingerprint |
//! | 34 | 1 | state |
//! | 35 | 1 | 128 if observed only, plus the number of header keys |
//! | 36 | 2 | attempt |
//! | 38 | 2 | gateways, one bit each |
//! | 40 | 8 | claimed at, ms |
//! | 48 | 4 | nonce |
//! | 52 | 8 | changed at, ms |
//! | 60 | 8 | lease end, or end of the last attempt, ms |
//! | 68 | 8 | end of the repeat's lease, ms; 0 none |
//! | 76 | 6 | first "not found", ms; 0 none |
//! | 82 | 1 | who said so; in flight: who is tried first |
//! | 83 | 8 | amount in hundredths |
//! | 91 | 3 | currency |

use super::alias::Alias;
use crate::engine::codec::Reader;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{
    Claim, ClaimState, Closed, Fingerprint, Incarnation, KeyPrefix, Money,
};
use crate::engine::time::Timestamp;

/// Bytes of a record of this version.
pub(super) const SIZE: usize = SIZE_BYTE as usize;
const SIZE_BYTE: u8 = 94;
const VERSION: u8 = 1;
const OBSERVED: u8 = 0x80;
pub(super) const KEY_AT: usize = 2;
/// Shortest record of any version: length, version, key.
pub(super) const SIZE_MIN: usize = KEY_AT + 16;

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A claim.
    Claim(Claim),
    /// A key that leads elsewhere.
    Alias(Alias),
    /// A record that this version cannot read: an unresolved claim.
    Unreadable,
}

const IN_FLIGHT: u8 = 1;
const IN_FLIGHT_AFTER_NO: u8 = 2;
const SETTLED: u8 = 3;
const REJECTED: u8 = 4;
const IN_DOUBT: u8 = 5;
const CLOSED_FAILED: u8 = 6;
const CLOSED_CANCELLED: u8 = 7;
const CLOSED_REFUNDED: u8 = 8;

/// The members of a state, laid out flat.
#[derive(Default)]
struct Flat {
    tag: u8,
    gateways: Gateways,
    until: Timestamp,
    repeat_until: Option<Timestamp>,
    not_found: Option<(GatewayId, Timestamp)>,
}

fn flatten(state: ClaimState) -> Flat {
    match state {
        ClaimState::InFlight { candidates, until, after_no } => Flat {
            tag: if after_no { IN_FLIGHT_AFTER_NO } else { IN_FLIGHT },
            gateways: candidates,
            until,
            ..Flat::default()
        },
        ClaimState::Settled { gateways, repeat_until } => {
            Flat { tag: SETTLED, gateways, repeat_until, ..Flat::default() }
        }
        ClaimState::Rejected { gateway } => {
            Flat { tag: REJECTED, gateways: Gateways::only(gateway), ..Flat::default() }
        }
        ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found } => {
            Flat { tag: IN_DOUBT, gateways: candidates, until: ended_at, repeat_until, not_found }
        }
        ClaimState::Closed { how, gateways } => Flat {
            tag: match how {
                Closed::Failed => CLOSED_FAILED,
                Closed::Cancelled => CLOSED_CANCELLED,
                Closed::Refunded => CLOSED_REFUNDED,
            },
            gateways,
            ..Flat::default()
        },
    }
}

fn unflatten(flat: &Flat) -> Option<ClaimState> {
    let gateways = flat.gateways;
    let in_flight =
        |after_no| ClaimState::InFlight { candidates: gateways, until: flat.until, after_no };
    let closed = |how| ClaimState::Closed { how, gateways };
    Some(match flat.tag {
        IN_FLIGHT => in_flight(false),
        IN_FLIGHT_AFTER_NO => in_flight(true),
        SETTLED => ClaimState::Settled { gateways, repeat_until: flat.repeat_until },
        REJECTED => ClaimState::Rejected { gateway: gateways.single()? },
        IN_DOUBT => ClaimState::InDoubt {
            candidates: gateways,
            ended_at: flat.until,
            repeat_until: flat.repeat_until,
            not_found: flat.not_found,
        },
        CLOSED_FAILED => closed(Closed::Failed),
        CLOSED_CANCELLED => closed(Closed::Cancelled),
        CLOSED_REFUNDED => closed(Closed::Refunded),
        _ => return None,
    })
}

pub(super) fn encode(key: &KeyPrefix, claim: &Claim) -> Vec<u8> {
    let flat = flatten(claim.state);
    let first = if claim.is_in_flight() { claim.first } else { GatewayId::FIRST };
    let (said_by, said_at) =
        flat.not_found.map_or_else(|| (first.byte(), 0), |(by, at)| (by.byte(), at.as_millis()));
    let repeat_until = flat.repeat_until.map_or(0, Timestamp::as_millis);
    let mut bytes = Vec::with_capacity(SIZE);
    bytes.extend([SIZE_BYTE, VERSION]);
    bytes.extend(key);
    bytes.extend(claim.fingerprint.0);
    let observed = if claim.observed { OBSERVED } else { 0 };
    bytes.extend([flat.tag, observed | claim.header_keys.min(OBSERVED - 1)]);
    bytes.extend(claim.attempt.to_le_bytes());
    bytes.extend(flat.gateways.bits().to_le_bytes());
    bytes.extend(claim.incarnation.claimed_at.as_millis().to_le_bytes());
    bytes.extend(claim.incarnation.nonce.to_le_bytes());
    bytes.extend(claim.changed_at.as_millis().to_le_bytes());
    bytes.extend(flat.until.as_millis().to_le_bytes());
    bytes.extend(repeat_until.to_le_bytes());
    bytes.extend(said_at.to_le_bytes().iter().take(6));
    bytes.push(said_by);
    bytes.extend(claim.money.minor.to_le_bytes());
    bytes.extend(claim.money.currency);
    bytes
}

/// `None` for a record that this version cannot read.
pub(super) fn decode(record: &[u8]) -> Option<Claim> {
    let mut bytes = Reader(record);
    let [length, VERSION] = bytes.take::<2>()? else {
        return None;
    };
    if usize::from(length) != SIZE || record.len() != SIZE {
        return None;
    }
    let _key: KeyPrefix = bytes.take()?;
    let fingerprint = Fingerprint(bytes.take()?);
    let [tag, marks] = bytes.take()?;
    let attempt = bytes.short()?;
    let gateways = Gateways::from_bits(u16::from_le_bytes(bytes.take()?));
    let claimed_at = bytes.time()?;
    let nonce = u32::from_le_bytes(bytes.take()?);
    let changed_at = bytes.time()?;
    let until = bytes.time()?;
    let repeat_until = Some(bytes.time()?).filter(|until| until.as_millis() != 0);
    let [t0, t1, t2, t3, t4, t5, said_by] = bytes.take()?;
    let said_at = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, 0, 0]);
    let said_by = GatewayId::new(usize::from(said_by))?;
    let not_found = (said_at != 0).then_some((said_by, Timestamp::from_millis(said_at)));
    let minor = u64::from_le_bytes(bytes.take()?);
    let currency = bytes.take()?;
    Some(Claim {
        fingerprint,
        state: unflatten(&Flat { tag, gateways, until, repeat_until, not_found })?,
        attempt,
        incarnation: Incarnation { claimed_at, nonce },
        changed_at,
        money: Money { minor, currency },
        observed: marks & OBSERVED != 0,
        header_keys: marks & !OBSERVED,
        first: if matches!(tag, IN_FLIGHT | IN_FLIGHT_AFTER_NO) {
            said_by
        } else {
            GatewayId::FIRST
        },
    })
}
