//! Requests that nobody honest sends.

use serde_json::json;

use crate::gateway::REFUSED;
use crate::random::Random;
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, TOPUP, TRANSFER};

/// A request, before it is put on a wire.
pub(crate) struct Shape {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The filter or Envoy must answer it with an error, and no gateway may see it.
    pub(crate) is_refused: bool,
}

/// Few, so that payments meet themselves.
const REFERENCES: usize = 800;

impl Shape {
    /// A payment, or what concerns one, as anybody may send it.
    fn plain(random: &mut Random) -> Self {
        let reference = format!("R-{}", random.below(REFERENCES));
        let path = *random.pick(&[CREATE, CREATE, CREATE, CANCEL, REFUND, STATUS, TOPUP, TRANSFER]);
        let body = json!({
            "merchantId": "m",
            "partnerReferenceNo": reference,
            "originalPartnerReferenceNo": reference,
            "partnerRefundNo": reference,
            "serviceCode": "54",
            "amount": {"value": format!("{}.00", random.below(3)), "currency": "IDR"},
            "refundAmount": {"value": "1.00", "currency": "IDR"},
            "beneficiaryAccountNumber": "1",
        });
        Self {
            method: "POST",
            path: path.to_owned(),
            headers: vec![("x-partner-id".into(), format!("p{}", random.below(3)))],
            body: body.to_string().into_bytes(),
            is_refused: false,
        }
    }

    /// One that must be refused, with a body of this JSON.
    fn refused(body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST",
            path: CREATE.to_owned(),
            headers: vec![("x-partner-id".into(), "p".into())],
            body: body.into(),
            is_refused: true,
        }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// One of all kinds.
pub(crate) fn any(random: &mut Random) -> Shape {
    match random.below(5) {
        0 => body(random),
        1 => path(random),
        2 => header(random),
        3 => changed(random),
        _ => Shape::plain(random),
    }
}

/// What JSON is not, and what it is and should not be.
fn body(random: &mut Random) -> Shape {
    let name = format!("{REFUSED}-{}", random.below(1000));
    let depth = 1 + random.below(20_000);
    let order = |members: &str| format!(r#"{{"merchantId":"m",{members}}}"#);
    match random.below(16) {
        0 => Shape::refused("[".repeat(depth)),
        1 => Shape::refused(r#"{"a":"#.repeat(depth)),
        2 => Shape::refused(order(&format!(
            r#""partnerReferenceNo":"{name}","partnerReferenceNo":"x""#
        ))),
        3 => Shape::refused(order(&format!(
            r#""partnerReferenceNo":"{name}","partner_reference_no":"x""#
        ))),
        4 => Shape::refused(order(&format!(
            r#""partnerReferenceNo":"{name}","PARTNERREFERENCENO":"x""#
        ))),
        5 => Shape::refused(order(&format!(r#""partnerReferenceNo":{}"#, "9".repeat(400)))),
        6 => Shape::refused(order(&format!(
            r#""partnerReferenceNo":"{name}","amount":{{"value":1e99999}}"#
        ))),
        7 => Shape::refused(order(&format!(r#""partnerReferenceNo":"{}""#, "x".repeat(300)))),
        8 => {
            let mut bytes = order(&format!(r#""partnerReferenceNo":"{name}#""#)).into_bytes();
            bytes.iter_mut().filter(|byte| **byte == b'#').for_each(|byte| *byte = 0xff);
            Shape::refused(bytes)
        }
        9 => Shape::refused(order(r#""partnerReferenceNo":"\ud800""#)),
        10 => Shape::refused(format!(
            "\u{feff}{}",
            order(&format!(r#""partnerReferenceNo":"{name}""#))
        )),
        11 => {
            let text = order(&format!(r#""partnerReferenceNo":"{name}""#));
            Shape::refused(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
        }
        12 => Shape::refused(order(&format!(
            r#""partnerReferenceNo":"{name}","x":"{}""#,
            "y".repeat(66_000)
        ))),
        13 => Shape::refused(order(&format!(r#""partnerReferenceNo":["{name}"]"#))),
        14 => Shape::refused(format!(
            r#"{}{{}}"#,
            order(&format!(r#""partnerReferenceNo":"{name}""#))
        )),
        // A deep member that nobody asks for is nobody's trouble: it may pass.
        _ => {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let members = format!(
                r#""partnerReferenceNo":"D-{}","amount":{{"value":"1.00","currency":"IDR"}},"x":{open}{close}"#,
                depth % 50
            );
            Shape { is_refused: false, ..Shape::refused(order(&members)) }
        }
    }
}

/// Paths that others may read as one of ours.
fn path(random: &mut Random) -> Shape {
    let name = format!("{REFUSED}-P{}", random.below(1000));
    let order = json!({"merchantId": "m", "partnerReferenceNo": name, "amount": {"value": "1.00", "currency": "IDR"}});
    let path = match random.below(12) {
        0 => CREATE.replace("debit", "%64ebit"),
        1 => CREATE.replace("/debit", "%2Fdebit"),
        2 => format!("/{CREATE}"),
        3 => CREATE.to_uppercase(),
        4 => format!("{CREATE};jsessionid=1"),
        5 => CREATE.replace("debit", "x/..;/debit"),
        6 => CREATE.replace('/', "\\"),
        7 => "/".repeat(2000),
        8 => format!("/{}", "a".repeat(8000)),
        9 => "/unknown".to_owned(),
        10 => format!("{CREATE}%00"),
        _ => format!("{CREATE}/"),
    };
    Shape { path, ..Shape::refused(order.to_string()) }
}

/// Header fields that steer, smuggle, overflow or lie.
fn header(random: &mut Random) -> Shape {
    let plain = Shape::plain(random);
    let long = "k".repeat(300 + random.below(900));
    // A status is asked whatever its key is, and by whomever.
    let names_payment = plain.path != STATUS;
    match random.below(16) {
        0 => plain.with("x-dana-cluster", "dana_secondary"),
        1 => plain.with("x-envoy-retry-on", "5xx").with("x-envoy-max-retries", "9"),
        2 => plain.with("x-envoy-upstream-rq-timeout-ms", "1"),
        3 => plain.with("x-envoy-hedge-on-per-try-timeout", "true"),
        4 => Shape { is_refused: names_payment, ..plain.with("idempotency-key", long) },
        5 => plain.with("idempotency-key", format!("\"k-{}\"", random.below(200))),
        6 => Shape { is_refused: names_payment, ..plain.with("idempotency-key", "\"open") },
        7 => Shape { is_refused: true, ..plain.with("x-partner-id", "another") },
        8 => Shape { is_refused: names_payment, headers: Vec::new(), ..plain },
        9 => plain.with("authorization-customer", format!("Bearer {}", random.below(50))),
        10 => plain.with("connection", "x-partner-id, idempotency-key"),
        11 => plain.with("content-encoding", "gzip"),
        12 => (0..90).fold(plain, |shape, n| shape.with(&format!("x-{n}"), "y".repeat(400))),
        13 => (0..200).fold(plain, |shape, n| shape.with(&format!("x-{n}"), "")),
        14 => plain.with("x-big", "z".repeat(64_000)),
        _ => plain.with("x-request-id", "'; DROP TABLE claims; --"),
    }
}

/// An ordinary one in which a few bytes of the body are others, or the method is.
fn changed(random: &mut Random) -> Shape {
    let mut shape = Shape::plain(random);
    if random.once_in(8) {
        shape.method = *random.pick(&["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]);
    }
    for _ in 0..=random.below(4) {
        let at = random.below(shape.body.len().max(1));
        match random.below(3) {
            0 => shape.body.truncate(at),
            1 => shape.body.insert(at, b"\"{}[]:,\\\0\xff0"[random.below(11)]),
            _ => {
                if let Some(byte) = shape.body.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    shape
}
