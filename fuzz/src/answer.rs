//! An answer of a gateway, or of whoever answers in its place.
//!
//! The first line says to which operation (a digit), its HTTP status, Envoy's response flags and
//! whether it was attached to a connection (or `-` where the gateway answered), and the gateway of
//! the endpoint's metadata. The rest is the body.

use dana_failover::engine::ClaimState;
use dana_failover::engine::{Body, Flags, Origin, Response};
use serde_json::Value;

use super::world::{CREATE, World};

/// Path, body, and the services whose codes count.
const OPERATIONS: [(&str, &str, &[&str]); 4] = [
    (
        CREATE,
        r#"{"merchantId":"m","partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#,
        &["54"],
    ),
    (
        "/rest/v1.0/emoney/topup",
        r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#,
        &["38"],
    ),
    (
        "/payment-gateway/v1.0/debit/refund.htm",
        r#"{"merchantId":"m","originalPartnerReferenceNo":"r-0","partnerRefundNo":"r-1","refundAmount":{"value":"1.00","currency":"IDR"}}"#,
        &["58"],
    ),
    (
        "/v1.0/emoney/transfer-bank.htm",
        r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"},"beneficiaryAccountNumber":"1"}"#,
        &["43"],
    ),
];

/// # Panics
/// Where a payment is believed executed without proof, or an answer that reads as failed is relayed
/// though it proves nothing.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    let body = rest.get(1..).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0usize);
    let (path, asked, services) = OPERATIONS[number % OPERATIONS.len()];
    let status: u16 = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let bits: Option<u64> = words.next().and_then(|word| word.parse().ok());
    let flags = bits.map(Flags::new);
    let attached = words.next() == Some("attached");
    let endpoint = words.next().unwrap_or("primary");
    let origin = flags.map_or(Origin::Upstream, |flags| Origin::Envoy { flags, attached });

    let mut world = World::new();
    let headers = [(":method", "POST"), (":path", path), ("x-partner-id", "p")]
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    let mut run = world.ask(&headers, asked.as_bytes(), &[]);
    assert!(run.is_sent(), "a payment that is well-formed is sent");
    let evidence = Response { origin, status, body: Body::Complete(body) };
    world.answer(&mut run, evidence, endpoint);
    if !run.calls.is_empty() {
        // A follow-up of a payment that nobody knows goes on to the next gateway.
        let not_found =
            read(body).is_some_and(|code| code.starts_with("404") && code.ends_with("01"));
        assert!(number % OPERATIONS.len() == 2 && origin == Origin::Upstream && not_found);
        return;
    }
    assert_eq!(run.replies.len() + usize::from(run.relayed), 1, "one answer");
    let code = read(body)
        .filter(|code| services.contains(&&code[3..5]) && code[..3] == status.to_string());
    let own = world.store.claims().into_iter().find(|claim| claim.money.minor == 100);
    match own.map(|claim| claim.state) {
        Some(ClaimState::Settled { .. }) => {
            assert_eq!(origin, Origin::Upstream);
            assert!(code.is_some_and(|code| code.starts_with("200") && code.ends_with("00")));
            // Only a transfer's answer may leave its reference out.
            let (member, obliged) = match number % OPERATIONS.len() {
                2 => ("partnerRefundNo", true),
                operation => ("partnerReferenceNo", operation != 3),
            };
            assert!(refers(body, member, obliged), "settled by another payment's answer");
        }
        Some(ClaimState::Rejected { .. }) => {
            assert_eq!(origin, Origin::Upstream);
            let code = code.expect("a NO is a code");
            assert!(
                matches!(&code[..3], "400" | "401" | "403" | "404" | "405")
                    || code.ends_with("00") && code.starts_with("500")
            );
        }
        Some(ClaimState::InDoubt { .. }) if run.relayed => {
            let pending = code
                .is_some_and(|code| matches!(&code[..3], "202" | "429") || code.starts_with('5'));
            assert!(pending, "what reads as failed was relayed");
        }
        Some(ClaimState::InDoubt { .. }) => {
            assert_eq!(run.replies[0].status, 504, "unknown is said to be unknown");
        }
        Some(ClaimState::InFlight { .. }) => panic!("nothing was settled"),
        Some(ClaimState::Closed { .. }) => panic!("a first attempt closes nothing"),
        None => {
            // No connection, perhaps until time was up; no hosts, no room, no cluster, a rate limit;
            // or the client left before any of it.
            let is_so = |flag: u64| bits.map(|bits| bits & !0x8000) == Some(flag);
            let never_sent = [0x20, 0x4, 0x24, 0x2, 0x80, 0xa0, 0x800, 0x100_0000, 0x4000]
                .into_iter()
                .any(is_so);
            assert!(!attached && never_sent, "released though it may have been sent");
        }
    }
}

/// The body, as a reader takes it that knows nothing of ours. A gateway may write its messages in
/// another encoding; what counts has none but ASCII.
fn document(body: &[u8]) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(body)).ok()
}

fn read(body: &[u8]) -> Option<String> {
    let value = document(body)?;
    let code = value.get("responseCode")?.as_str()?;
    (code.len() == 7 && code.bytes().all(|byte| byte.is_ascii_digit())).then(|| code.to_owned())
}

/// Whether the answer names the payment, or none where it need not.
fn refers(body: &[u8], member: &str, obliged: bool) -> bool {
    match document(body).unwrap_or_default().get(member) {
        None | Some(Value::Null) => !obliged,
        Some(value) => value == "r-1",
    }
}
