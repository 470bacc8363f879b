//! The job: claim a payment, tell its gateway, settle it by its answer, answer a repeat.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A payment's key.
pub(super) type Key = [u8; 32];

/// What is known of all payments.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Key, Claim>>);

#[derive(Debug)]
struct Claim {
    fingerprint: [u8; 32],
    reference: String,
    state: State,
}

#[derive(Debug)]
enum State {
    InFlight,
    Settled { content_type: String, body: Vec<u8> },
    InDoubt,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Decided {
    Send(Key),
    Answer { status: u16, content_type: String, body: Vec<u8> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order<'o> {
    merchant_id: &'o str,
    partner_reference_no: &'o str,
    #[serde(borrow)]
    amount: Amount<'o>,
}

#[derive(Deserialize)]
struct Amount<'o> {
    value: &'o str,
    currency: &'o str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    response_code: &'a str,
    partner_reference_no: &'a str,
}

impl Claims {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the payment of this partner, or says why not.
    pub(super) fn decide(&self, partner: &str, body: &[u8]) -> Decided {
        let Ok(order) = serde_json::from_slice::<Order<'_>>(body) else {
            return refusal(400, "4005402", "refused");
        };
        let parts = [partner, "order", order.merchant_id, order.partner_reference_no];
        let key = digest(&[], &parts);
        let fingerprint = digest(&key, &[order.amount.value, order.amount.currency]);
        let mut claims = self.all();
        let Some(known) = claims.get(&key) else {
            let reference = order.partner_reference_no.to_owned();
            claims.insert(key, Claim { fingerprint, reference, state: State::InFlight });
            return Decided::Send(key);
        };
        match &known.state {
            State::InFlight => refusal(429, "4295400", "in_flight"),
            State::InDoubt => refusal(429, "4295400", "in_doubt"),
            State::Settled { .. } if known.fingerprint != fingerprint => {
                refusal(404, "4045418", "mismatch")
            }
            State::Settled { content_type, body } => Decided::Answer {
                status: 200,
                content_type: content_type.clone(),
                body: body.clone(),
            },
        }
    }

    /// Settles it by what its gateway has answered.
    pub(super) fn settle(&self, key: &Key, status: &str, content_type: &str, body: &[u8]) {
        let mut claims = self.all();
        let Some(claim) = claims.get_mut(key) else {
            return;
        };
        let is_paid = serde_json::from_slice::<Answered<'_>>(body).is_ok_and(|answer| {
            answer.response_code == "2005400" && answer.partner_reference_no == claim.reference
        });
        claim.state = if status == "200" && is_paid {
            State::Settled { content_type: content_type.to_owned(), body: body.to_vec() }
        } else {
            State::InDoubt
        };
    }
}

fn refusal(status: u16, code: &str, outcome: &str) -> Decided {
    let body = format!(r#"{{"responseCode":"{code}","outcome":"{outcome}"}}"#).into_bytes();
    Decided::Answer { status, content_type: "application/problem+json".to_owned(), body }
}

fn digest(before: &[u8], parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(before);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A key as a header field has it.
pub(super) fn as_text(key: &Key) -> String {
    let digits = key.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    std::iter::once('"').chain(text).chain(std::iter::once('"')).collect()
}
