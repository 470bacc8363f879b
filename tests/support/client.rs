//! The merchant's side: plain HTTP, and raw bytes where HTTP itself is what is tested.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::secrets;
use super::tls::Identity;

/// Longer than anything a test waits for.
const LIMIT: Duration = Duration::from_secs(20);

const PARTNER: [(&str, &str); 2] =
    [("x-partner-id", "2025021312345678901234"), ("channel-id", "95221")];

/// Create order, as DANA's SDKs call it.
pub(crate) const CREATE: &str = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";
/// Its status inquiry.
pub(crate) const STATUS: &str = "/payment-gateway/v1.0/debit/status.htm";
/// Cancel.
pub(crate) const CANCEL: &str = "/payment-gateway/v1.0/debit/cancel.htm";
/// Refund.
pub(crate) const REFUND: &str = "/payment-gateway/v1.0/debit/refund.htm";
/// Top-up.
pub(crate) const TOPUP: &str = "/rest/v1.0/emoney/topup";
/// Transfer to a bank.
pub(crate) const TRANSFER: &str = "/v1.0/emoney/transfer-bank.htm";

/// An answer as the merchant sees it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// HTTP status; 0 when the connection broke.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Seen {
    /// A header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The SNAP response code, empty without one.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["responseCode"].as_str().unwrap_or_default().to_owned()
    }

    /// The outcome that an answer of the filter tells, empty for a gateway's answer.
    pub(crate) fn outcome(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["outcome"].as_str().unwrap_or_default().to_owned()
    }
}

fn new_agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(LIMIT))
        .build();
    config.into()
}

fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(new_agent)
}

fn seen(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> Seen {
    let broken = || Seen { status: 0, headers: Vec::new(), body: Vec::new() };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return Seen { body: error.to_string().into_bytes(), ..broken() };
        }
    };
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    match answer.body_mut().with_config().limit(1 << 24).read_to_vec() {
        Ok(body) => Seen { status: answer.status().as_u16(), headers, body },
        Err(_) => broken(),
    }
}

/// Of somebody who does not wait long: what is asked may be stopped, dying or mute.
fn hurried_agent() -> ureq::Agent {
    let patience = Some(Duration::from_secs(2));
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(patience);
    config.build().into()
}

/// A GET of somebody who does not wait long.
pub(crate) fn glance(address: &str, path: &str, headers: &[(&str, &str)]) -> Seen {
    let mut request = hurried_agent().get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    seen(request.call())
}

/// A POST of somebody who does not wait long.
pub(crate) fn hurry(address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Seen {
    send_with(&hurried_agent(), address, path, headers, body.to_string().as_bytes())
}

/// A GET.
pub(crate) fn get(address: &str, path: &str) -> Seen {
    seen(agent().get(format!("http://{address}{path}")).call())
}

/// Any request, over a connection of its own.
pub(crate) fn ask(
    method: &str,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    Line::new().ask(method, address, path, headers, body)
}

/// A DELETE.
pub(crate) fn delete(address: &str, path: &str) -> Seen {
    seen(agent().delete(format!("http://{address}{path}")).call())
}

/// A POST of JSON without further headers.
pub(crate) fn post(address: &str, path: &str, body: &Value) -> Seen {
    send(address, path, &[], body.to_string().as_bytes())
}

/// A POST with these headers.
pub(crate) fn send(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Seen {
    send_with(agent(), address, path, headers, body)
}

/// A partner's call over TLS, to whom this authority vouches for, by `identity` if there is one.
pub(crate) fn call_as(
    identity: Option<&Identity>,
    authority: &str,
    address: &str,
    path: &str,
    body: &Value,
) -> Seen {
    let certificate = |pem: &str| Certificate::from_pem(pem.as_bytes()).unwrap();
    let own = identity.map(|identity| {
        let key = PrivateKey::from_pem(identity.key.as_bytes()).unwrap();
        ClientCert::new_with_certs(&[certificate(&identity.certificate)], key)
    });
    let roots = RootCerts::new_with_certs(&[certificate(authority)]);
    let tls = TlsConfig::builder().root_certs(roots).client_cert(own).build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .tls_config(tls)
        .build();
    let address = format!("https://{address}");
    send_to(&config.into(), &address, path, &PARTNER, body.to_string().as_bytes())
}

fn send_with(
    agent: &ureq::Agent,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    send_to(agent, &format!("http://{address}"), path, headers, body)
}

fn send_to(
    agent: &ureq::Agent,
    origin: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    let mut request =
        agent.post(format!("{origin}{path}")).header("content-type", "application/json");
    let own = secrets::HEADERS.iter().filter(|(name, _)| !headers.iter().any(|(n, _)| n == name));
    for (name, value) in headers.iter().chain(own) {
        request = request.header(*name, *value);
    }
    seen(request.send(body))
}

/// A partner's call, with the transport ids that an SDK mints anew each time.
pub(crate) fn call(address: &str, path: &str, body: &Value) -> Seen {
    send(address, path, &PARTNER, body.to_string().as_bytes())
}

/// The same with more headers.
pub(crate) fn call_with(address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Seen {
    send(address, path, &[&PARTNER, headers].concat(), body.to_string().as_bytes())
}

/// The same over a connection of its own: whichever worker takes it, and the newest listener.
pub(crate) fn call_anew(address: &str, path: &str, body: &Value) -> Seen {
    send_with(&new_agent(), address, path, &PARTNER, body.to_string().as_bytes())
}

/// One connection of a merchant, kept from call to call, and so always the same worker.
pub(crate) struct Line(ureq::Agent);

impl Line {
    /// One that is made with the first call.
    pub(crate) fn new() -> Self {
        Self(new_agent())
    }

    /// Any request.
    pub(crate) fn ask(
        &self,
        method: &str,
        address: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Seen {
        let mut request = http::Request::builder().method(method);
        request = request.uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_empty() {
            return seen(self.0.run(request.body(()).unwrap()));
        }
        seen(self.0.run(request.body(body.to_vec()).unwrap()))
    }

    /// A partner's call.
    pub(crate) fn call(&self, address: &str, path: &str, body: &Value) -> Seen {
        self.send(address, path, &PARTNER, body)
    }

    /// A payment whose reference is its request id too, by which the access log knows it.
    pub(crate) fn pay(&self, address: &str, reference: &str) -> Seen {
        let headers = [PARTNER[0], PARTNER[1], ("x-request-id", reference)];
        self.send(address, CREATE, &headers, &order(reference))
    }

    fn send(&self, address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Seen {
        send_with(&self.0, address, path, headers, body.to_string().as_bytes())
    }
}

/// A create order.
pub(crate) fn order(reference: &str) -> Value {
    json!({
        "merchantId": "216620010016033632482",
        "partnerReferenceNo": reference,
        "amount": {"value": "10000.00", "currency": "IDR"},
        "validUpTo": "2026-11-22T23:37:39+07:00",
        "additionalInfo": {"note": secrets::BODY_NOTE},
    })
}

/// The status inquiry, or the cancel, of an order.
pub(crate) fn about(reference: &str) -> Value {
    json!({
        "merchantId": "216620010016033632482",
        "originalPartnerReferenceNo": reference,
        "serviceCode": "54",
    })
}

/// Sends bytes as they are and gives whatever comes until the other side closes or `limit` ends.
pub(crate) fn raw(address: &str, bytes: &[u8], limit: Duration) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(limit)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A create order as bytes on the wire; `connection: close` ends the answer.
pub(crate) fn order_bytes(reference: &str) -> Vec<u8> {
    bytes(CREATE, &order(reference))
}

/// A partner's call as bytes on the wire; `connection: close` ends the answer.
pub(crate) fn bytes(path: &str, body: &Value) -> Vec<u8> {
    bytes_with(path, &[], body)
}

/// The same with more headers.
pub(crate) fn bytes_with(path: &str, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: dana\r\nconnection: close\r\n{more}\
         x-partner-id: 2025021312345678901234\r\ncontent-type: application/json\r\n\
         x-signature: {}\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n{body}",
        secrets::SIGNATURE,
        secrets::AUTHORIZATION,
        body.len()
    )
    .into_bytes()
}
