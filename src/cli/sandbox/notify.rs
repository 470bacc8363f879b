//! What gateways notify the merchant's application of: signed as DANA signs, repeated until it is
//! confirmed, and forged where that is wanted.
//!
//! The keys are throw-away keys that everybody can read here. They prove nothing but that a notification
//! comes from a sandbox.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::clock;
use super::gateway::Gateway;
use super::ledger::Receipt;
use super::operations::Namespace;
use super::signature::{Signed, encode_base64, pem_bytes, request_text};

/// The key of each gateway that can notify, in their order, and of somebody who is none.
const KEYS: [&str; 2] = [include_str!("keys/primary.pem"), include_str!("keys/secondary.pem")];
const STRANGER: &str = include_str!("keys/stranger.pem");

/// DANA documents that it waits for 8 s.
const PATIENCE: Duration = Duration::from_secs(8);
const ANSWER_BYTES_MAX: usize = 65_536;
/// A notification is repeated after one second, two, four and so on.
const REPEATS_MAX: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const HOUR_SECONDS: i64 = 3600;

/// How a notification is made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    /// Signed by nobody known.
    WrongKey,
    /// Signed by the other gateway.
    OtherKey,
    /// Eight days old.
    Old,
    /// An hour ahead.
    Ahead,
    /// Changed after it was signed.
    Body,
    /// Signed for another path.
    Path,
    Unsigned,
    Untimed,
    /// Half of a signature.
    Cut,
    NotBase64,
}

impl Forgery {
    const ALL: [(&'static str, Self); 10] = [
        ("wrong-key", Self::WrongKey),
        ("other-key", Self::OtherKey),
        ("old", Self::Old),
        ("ahead", Self::Ahead),
        ("body", Self::Body),
        ("path", Self::Path),
        ("unsigned", Self::Unsigned),
        ("untimed", Self::Untimed),
        ("cut", Self::Cut),
        ("not-base64", Self::NotBase64),
    ];
}

/// A notification to be sent.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    reference: String,
    to: Uri,
    status: String,
    times: u32,
    forgery: Option<Forgery>,
}

impl Notice {
    /// Reads what the control API is told.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let known = ["reference", "to", "status", "times", "forge"];
        let members = value.as_object().ok_or("expected an object")?;
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("{name}: expected one of {}", known.join(", ")));
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let forgery = match text("forge") {
            None => None,
            Some(wanted) => {
                let found = Forgery::ALL.iter().find(|(name, _)| *name == wanted);
                let names: Vec<&str> = Forgery::ALL.iter().map(|(name, _)| *name).collect();
                let expected = format!("forge: expected one of {}", names.join(", "));
                Some(found.map(|(_, forgery)| *forgery).ok_or(expected)?)
            }
        };
        let times = members.get("times").map_or(Some(1), Value::as_u64);
        Ok(Self {
            reference: text("reference").ok_or("reference: expected a text")?.to_owned(),
            to: place(text("to").ok_or("to: expected http://HOST:PORT")?)?,
            status: text("status").unwrap_or("00").to_owned(),
            times: times
                .and_then(|times| u32::try_from(times).ok())
                .filter(|times| (1..=100).contains(times))
                .ok_or("times: expected 1 to 100")?,
            forgery,
        })
    }
}

/// Where notifications go: `http://HOST:PORT`.
pub(super) fn place(text: &str) -> Result<Uri, String> {
    let expected = || "expected http://HOST:PORT".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let is_plain = uri.scheme_str() == Some("http") && uri.port_u16().is_some();
    if is_plain { Ok(uri) } else { Err(expected()) }
}

/// What the application, or a proxy before it, has answered.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    status: u16,
    body: Bytes,
}

impl Answered {
    pub(super) fn to_json(&self) -> Value {
        json!({ "status": self.status, "body": String::from_utf8_lossy(&self.body) })
    }

    /// DANA repeats whatever is not answered so.
    fn confirms(&self) -> bool {
        let code = serde_json::from_slice::<Value>(&self.body).ok();
        let code = code.as_ref().and_then(|body| body.get("responseCode")?.as_str());
        self.status == 200
            && code.is_some_and(|code| code.starts_with("200") && code.ends_with("00"))
    }
}

/// Sends a notification as often as it says.
pub(super) async fn send(gateway: &Gateway, notice: &Notice) -> Result<Vec<Answered>, String> {
    let receipt = gateway.ledger().find_by_reference(&notice.reference);
    let receipt = receipt.ok_or_else(|| {
        format!("{}: no payment of this reference at {}", notice.reference, gateway.name)
    })?;
    let mut answers = Vec::new();
    for _ in 0..notice.times {
        let request = request(gateway, &receipt, notice)?;
        answers.push(call(&notice.to, request).await?);
    }
    Ok(answers)
}

/// Notifies of an executed payment, again and again until that is confirmed.
pub(super) async fn tell(gateway: &Gateway, to: Uri, receipt: Receipt) {
    let notice = Notice {
        reference: receipt.key.reference.clone(),
        to,
        status: "00".to_owned(),
        times: 1,
        forgery: None,
    };
    let mut pause = FIRST_PAUSE;
    for _ in 0..REPEATS_MAX {
        sleep(pause).await;
        let Ok(request) = request(gateway, &receipt, &notice) else {
            return;
        };
        if call(&notice.to, request).await.is_ok_and(|answer| answer.confirms()) {
            return;
        }
        pause = pause.saturating_mul(2);
    }
}

fn request(
    gateway: &Gateway,
    receipt: &Receipt,
    notice: &Notice,
) -> Result<Request<Full<Bytes>>, String> {
    let forgery = notice.forgery;
    let path = match receipt.key.namespace {
        Namespace::Order => "/v1.0/debit/notify",
        Namespace::Transfer => "/v1.0/debit/emoney/transfer-bank/notify.htm",
        Namespace::Topup | Namespace::Cancel | Namespace::Refund => {
            return Err("expected an order or a transfer: nothing else is notified".to_owned());
        }
    };
    let timestamp = clock::timestamp_after(match forgery {
        Some(Forgery::Old) => -8 * 24 * HOUR_SECONDS,
        Some(Forgery::Ahead) => HOUR_SECONDS,
        _ => 0,
    });
    let body = body(receipt, &notice.status);
    let own = KEYS.get(gateway.site).ok_or("only the first two gateways have a key")?;
    let key = match forgery {
        Some(Forgery::WrongKey) => STRANGER,
        Some(Forgery::OtherKey) => KEYS.iter().find(|key| *key != own).unwrap_or(own),
        _ => own,
    };
    let signed_path = if forgery == Some(Forgery::Path) { "/v1.0/debit/other" } else { path };
    let signed =
        Signed { method: "POST", path: signed_path, timestamp: &timestamp, body: body.as_bytes() };
    let text = request_text(signed);
    let mut signature = sign(key, text.as_bytes())?;
    match forgery {
        Some(Forgery::Cut) => signature.truncate(signature.len() / 2),
        Some(Forgery::NotBase64) => signature.replace_range(..1, "*"),
        _ => {}
    }
    let body = if forgery == Some(Forgery::Body) { body.replacen("IDR", "USD", 1) } else { body };
    let mut request = Request::post(path)
        .header("host", notice.to.authority().map_or("", |host| host.as_str()))
        .header("content-type", "application/json")
        .header("x-partner-id", &receipt.key.partner)
        .header("x-external-id", format!("{}-{}", receipt.reference_no, notice.status))
        .header("channel-id", "95221");
    if forgery != Some(Forgery::Unsigned) {
        request = request.header("x-signature", signature);
    }
    if forgery != Some(Forgery::Untimed) {
        request = request.header("x-timestamp", timestamp);
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
}

/// DANA's "Finish notify".
fn body(receipt: &Receipt, status: &str) -> String {
    let made = clock::timestamp();
    json!({
        "originalPartnerReferenceNo": receipt.key.reference,
        "originalReferenceNo": receipt.reference_no,
        "merchantId": receipt.key.merchant,
        "amount": { "value": receipt.money.value, "currency": receipt.money.currency },
        "latestTransactionStatus": status,
        "transactionStatusDesc": if status == "00" { "Success" } else { "Closed" },
        "createdTime": made,
        "finishedTime": made,
    })
    .to_string()
}

/// As base64.
fn sign(pem: &str, text: &[u8]) -> Result<String, String> {
    let der = pem_bytes(pem).ok_or("a key of the sandbox is not PEM")?;
    let key = RsaKeyPair::from_pkcs8(&der).map_err(|error| error.to_string())?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
        .map_err(|_| "a key of the sandbox does not sign".to_owned())?;
    Ok(encode_base64(&signature))
}

async fn call(to: &Uri, request: Request<Full<Bytes>>) -> Result<Answered, String> {
    timeout(PATIENCE, call_unbounded(to, request))
        .await
        .map_err(|_| "no answer in 8 s".to_owned())?
}

async fn call_unbounded(to: &Uri, request: Request<Full<Bytes>>) -> Result<Answered, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let place = (to.host().unwrap_or_default(), to.port_u16().unwrap_or_default());
    let stream = TcpStream::connect(place).await.map_err(|error| told(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(Answered { status, body: body.map_err(|error| told(&error))?.to_bytes() })
}
