//! The stories, each with the settings that it is played with.

mod doubts;
mod failover;
mod follows;
mod meanwhile;
mod mix;
mod names;
mod operations;
mod outcomes;
mod settings;
mod shapes;
mod small;

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::client::about;
use crate::support::envoy::{quick, with};

/// A fixed course of requests and faults.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// What is merged into the filter's configuration.
    pub(crate) settings: fn() -> Value,
    pub(crate) play: fn(&mut Stage),
}

const fn story(name: &'static str, settings: fn() -> Value, play: fn(&mut Stage)) -> Story {
    Story { name, settings, play }
}

pub(crate) const STORIES: [Story; 13] = [
    story("outcomes", steady, outcomes::play),
    story("follows", steady, follows::play),
    story("operations", steady, operations::play),
    story("shapes", steady, shapes::play),
    story("names", steady, names::play),
    story("meanwhile", steady, meanwhile::play),
    story("failover", failover::settings, failover::play),
    story("doubts", doubts::settings, doubts::play),
    story("small", small::settings, small::play),
    story("rights", settings::rights, settings::play_rights),
    story("observed", settings::observed, settings::play_observed),
    story("plain", settings::plain, settings::play_plain),
    story("mix", mix::settings, mix::play),
];

/// How long a gateway may take. Below a second every `Retry-After` is one, whenever it is told.
pub(crate) const TIMEOUT_MS: u64 = 600;
/// How long a repeat has to wait, and until a "not found" may prove something.
pub(crate) const WAIT_MS: u64 = 2500;

/// Waits that are short where a request waits for them, and long enough between two requests that
/// come at once. No gateway is left: whatever a payment meets is its own.
pub(crate) fn steady() -> Value {
    with(
        quick(),
        &json!({
            "timeouts": {"response_ms": TIMEOUT_MS, "inquiry_ms": TIMEOUT_MS},
            "idempotency": {"repeat_after_ms": WAIT_MS, "settle_delay_ms": WAIT_MS,
                            "store": {"local": {"claims_max": 16384}}},
            // A gateway that refuses connections for a moment stays one that may take payments.
            "heartbeat": {"stale_ms": 3_600_000, "fall": 100},
        }),
    )
}

/// Past any wait of [`steady`].
pub(crate) fn wait(stage: &Stage) {
    stage.pass(std::time::Duration::from_millis(WAIT_MS + 400));
}

/// One of the refunds of an order.
pub(crate) fn refund(reference: &str, number: u32, value: &str) -> Value {
    let mut body = about(reference);
    body["partnerRefundNo"] = json!(format!("{reference}-{number}"));
    body["refundAmount"] = json!({"value": value, "currency": "IDR"});
    body
}

/// A body that each operation finds its members in.
pub(crate) fn everything(reference: &str) -> Value {
    use crate::support::secrets::{ACCOUNT_NUMBER, BODY_NOTE, CUSTOMER_NUMBER};
    let amount = json!({"value": "10000.00", "currency": "IDR"});
    json!({
        "merchantId": "216620010016033632482",
        "partnerReferenceNo": reference,
        "originalPartnerReferenceNo": reference,
        "partnerRefundNo": format!("{reference}-R"),
        "serviceCode": "54",
        "amount": amount,
        "refundAmount": amount,
        "feeAmount": amount,
        "customerNumber": CUSTOMER_NUMBER,
        "beneficiaryAccountNumber": ACCOUNT_NUMBER,
        "beneficiaryBankCode": "008",
        "grantType": "AUTHORIZATION_CODE",
        "authCode": "c-1",
        "additionalInfo": {"note": BODY_NOTE},
    })
}
