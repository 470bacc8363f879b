//! Keys that lead elsewhere: an `Idempotency-Key` header to the payment it was first used for, a
//! customer's token to the gateway that issued it, a gateway's notification to the merchant's application.
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | length of the record |
//! | 1 | 1 | 129: no claim, version 1 |
//! | 2 | 16 | key prefix |
//! | 18 | 1 | 1 a payment, 2 a gateway, 3 an application that was asked, 4 one that has confirmed |
//! | 19 | 20 | the payment's key and hash; or the gateway and zeros; or zeros |
//! | 39 | 8 | since when, ms |
//! | 47 | 4 | nonce |

use crate::engine::codec::Reader;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{KeyPrefix, PaymentRef};
use crate::engine::time::Timestamp;

const SIZE: u8 = 51;
const VERSION: u8 = 129;
const PAYMENT: u8 = 1;
const GATEWAY: u8 = 2;
const UNDER_WAY: u8 = 3;
const CONFIRMED: u8 = 4;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Where.
    pub to: AliasTarget,
    /// When it began to lead there; it is kept this long and `retention_s`, or longer where its
    /// bucket has room. A payment in doubt for longer than that outlives its header keys.
    pub used_at: Timestamp,
    /// Tells two of one millisecond apart.
    pub nonce: u32,
}

/// Where a key leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasTarget {
    /// To this payment.
    Payment(PaymentRef),
    /// To this gateway.
    Gateway(GatewayId),
    /// To the merchant's application: a notification.
    Application(Delivery),
}

/// How far a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The application has it, or is about to.
    UnderWay,
    /// The application has confirmed it.
    Confirmed,
}

impl Alias {
    /// The same, with its gateway by another name; `None` if it has none.
    pub(super) fn map_gateway(self, map: &dyn Fn(Gateways) -> Option<Gateways>) -> Option<Self> {
        let to = match self.to {
            to @ (AliasTarget::Payment(_) | AliasTarget::Application(_)) => to,
            AliasTarget::Gateway(gateway) => {
                AliasTarget::Gateway(map(Gateways::only(gateway))?.single()?)
            }
        };
        Some(Self { to, ..self })
    }

    pub(super) fn encode(&self, key: &KeyPrefix) -> Vec<u8> {
        let mut target = [0; PaymentRef::SIZE];
        let tag = match self.to {
            AliasTarget::Payment(payment) => {
                target = payment.bytes();
                PAYMENT
            }
            AliasTarget::Gateway(gateway) => {
                target[0] = gateway.byte();
                GATEWAY
            }
            AliasTarget::Application(Delivery::UnderWay) => UNDER_WAY,
            AliasTarget::Application(Delivery::Confirmed) => CONFIRMED,
        };
        let mut bytes = Vec::with_capacity(usize::from(SIZE));
        bytes.extend([SIZE, VERSION]);
        bytes.extend(key);
        bytes.push(tag);
        bytes.extend(target);
        bytes.extend(self.used_at.as_millis().to_le_bytes());
        bytes.extend(self.nonce.to_le_bytes());
        bytes
    }

    /// `None` for a record that is no link, or one that this version cannot read.
    pub(super) fn decode(record: &[u8]) -> Option<Self> {
        let mut bytes = Reader(record);
        let [SIZE, VERSION] = bytes.take::<2>()? else {
            return None;
        };
        let _key: KeyPrefix = bytes.take()?;
        let tag = bytes.byte()?;
        let target: [u8; PaymentRef::SIZE] = bytes.take()?;
        let (used_at, nonce) = (bytes.time()?, bytes.word()?);
        let to = match tag {
            PAYMENT => AliasTarget::Payment(PaymentRef::from_bytes(target)),
            GATEWAY => AliasTarget::Gateway(GatewayId::new(usize::from(target[0]))?),
            UNDER_WAY => AliasTarget::Application(Delivery::UnderWay),
            CONFIRMED => AliasTarget::Application(Delivery::Confirmed),
            _ => return None,
        };
        bytes.0.is_empty().then_some(Self { to, used_at, nonce })
    }
}
