//! What one line of any source says of a payment, in few bytes: there may be tens of millions.

use std::cmp::Ordering;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Write};
use std::sync::LazyLock;

use extsort::Sortable;

/// A hash of 128 bits: enough that no two of billions share one by chance.
pub(super) type Id = [u8; 16];

/// Where a line comes from, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Audit,
    Intent,
    Gateway,
    Ledger,
}

/// What a line says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// It was executed, or paid.
    Executed,
    /// It was not, provably.
    NotExecuted,
    /// Nobody knows.
    InDoubt,
    /// Nothing new: a refusal, or a question that was not answered.
    Nothing,
    /// Money was given back.
    Refunded,
}

/// What an entry of the audit trail says it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// Nothing that a gateway has said.
    Nothing,
    /// The answer to the payment itself: so it was sent.
    Answer,
    /// A status that was asked for.
    Status,
    /// A notification.
    Notification,
}

impl By {
    const ALL: [Self; 4] = [Self::Nothing, Self::Answer, Self::Status, Self::Notification];
}

/// Which file a line stands in, and at which byte: sixteen bits and 48.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Place {
    const OFFSET_BITS: u32 = 48;

    pub(super) fn new(file: usize, offset: u64) -> Self {
        Self((file as u64) << Self::OFFSET_BITS | offset & ((1 << Self::OFFSET_BITS) - 1))
    }

    pub(super) fn file(self) -> usize {
        usize::try_from(self.0 >> Self::OFFSET_BITS).unwrap_or(usize::MAX)
    }

    pub(super) const fn offset(self) -> u64 {
        self.0 & ((1 << Self::OFFSET_BITS) - 1)
    }
}

/// What a line says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Of the merchant's reference.
    pub(super) id: Id,
    pub(super) source: Source,
    /// Where it stands, which is the order of what was said in one second.
    pub(super) place: Place,
    pub(super) said: Said,
    /// The gateways that it is about, a bit for each.
    pub(super) gateways: u16,
    /// In hundredths; none where the line names no amount.
    pub(super) amount: Option<i64>,
    /// Its letters; zeros where none are named.
    pub(super) currency: [u8; 3],
    /// In milliseconds since the Unix epoch.
    pub(super) time: u64,
    /// Of an entry, what it was said by.
    pub(super) by: By,
    /// Of an entry, the front of the payment's key; of a gateway's line, of the gateway's own number.
    pub(super) own: Id,
}

/// Two keys of SipHash that nobody outside of this run knows, so that nobody makes references that share
/// a hash. It takes a quarter of what SHA-256 takes, and nothing outlives the run.
static KEYS: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// The hash of a text in this run.
pub(super) fn id(text: &str) -> Id {
    let [front, back] = KEYS.each_ref().map(|keys| keys.hash_one(text));
    (u128::from(front) << 64 | u128::from(back)).to_be_bytes()
}

impl Source {
    const ALL: [Self; 4] = [Self::Audit, Self::Intent, Self::Gateway, Self::Ledger];
}

impl Said {
    const ALL: [Self; 5] =
        [Self::Executed, Self::NotExecuted, Self::InDoubt, Self::Nothing, Self::Refunded];
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        // Two numbers are compared at once, sixteen bytes are not.
        let id = |row: &Self| u128::from_ne_bytes(row.id);
        let rest = |row: &Self| (row.source, row.time, row.place);
        id(self).cmp(&id(other)).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes of a row while it is sorted.
const SIZE: usize = 16 + 16 + 8 + 8 + 8 + 3 + 2 + 1 + 1 + 1;

/// An amount that a line does not name.
const NONE: i64 = i64::MIN;

impl Sortable for Row {
    fn encode<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let mut bytes = [0; SIZE];
        let mut rest = bytes.as_mut_slice();
        rest.write_all(&self.id)?;
        rest.write_all(&self.own)?;
        rest.write_all(&self.place.0.to_le_bytes())?;
        rest.write_all(&self.amount.unwrap_or(NONE).to_le_bytes())?;
        rest.write_all(&self.time.to_le_bytes())?;
        rest.write_all(&self.currency)?;
        rest.write_all(&self.gateways.to_le_bytes())?;
        rest.write_all(&[self.source as u8, self.said as u8, self.by as u8])?;
        writer.write_all(&bytes)
    }

    fn decode<R: Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0; SIZE];
        reader.read_exact(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let row = Self {
            id: take(&mut rest)?,
            own: take(&mut rest)?,
            place: Place(u64::from_le_bytes(take(&mut rest)?)),
            amount: Some(i64::from_le_bytes(take(&mut rest)?)).filter(|amount| *amount != NONE),
            time: u64::from_le_bytes(take(&mut rest)?),
            currency: take(&mut rest)?,
            gateways: u16::from_le_bytes(take(&mut rest)?),
            source: word(&Source::ALL, take(&mut rest)?)?,
            said: word(&Said::ALL, take(&mut rest)?)?,
            by: word(&By::ALL, take(&mut rest)?)?,
        };
        Ok(row)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (taken, after) = rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = after;
    Ok(*taken)
}

fn word<T: Copy>(all: &[T], [at]: [u8; 1]) -> io::Result<T> {
    all.get(usize::from(at)).copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_outlives_its_file() {
        let row = Row {
            id: id("ORDER-7"),
            source: Source::Gateway,
            place: Place::new(3, 1 << 40),
            said: Said::Refunded,
            gateways: 0x8001,
            amount: Some(-5),
            currency: *b"IDR",
            time: 7,
            by: By::Notification,
            own: id("x"),
        };
        for row in [row, Row { amount: None, source: Source::Audit, said: Said::Executed, ..row }] {
            let mut bytes = Vec::new();
            row.encode(&mut bytes).unwrap();
            assert_eq!(bytes.len(), SIZE);
            assert_eq!(Row::decode(&mut bytes.as_slice()).unwrap(), row);
        }
        assert_eq!((row.place.file(), row.place.offset()), (3, 1 << 40));
        assert!(Row::decode(&mut [9; SIZE].as_slice()).is_err());
        assert!(Row::decode(&mut [0; 3].as_slice()).is_err());
    }
}
