//! From a request to an answer, or to whatever a fault makes of it.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::sleep;

use super::answer::Answer;
use super::ask::{Ask, namespace};
use super::clock;
use super::fault::Fault;
use super::gateway::{Gateway, count};
use super::journal::{Answered, Record, cut, visible_headers};
use super::ledger::{Receipt, State};
use super::magic::Magic;
use super::notify;
use super::operations::{Namespace, Operation};
use super::payments::{Settled, note_unexecuted, settle};
use super::refusal::Refusal;
use super::signature::{Signed, sha256_hex, verify_request, verify_token};
use super::spoil::{Delivery, Verdict, spoil};
use super::wire::Sabotage;

/// No DANA request comes near it.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How much of a body that is too large is read before its sender is hung up on.
const UNREAD_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// The connection is to end without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// A request that was received in full.
struct Received {
    head: Parts,
    body: Bytes,
    operation: Option<Operation>,
    /// What it asks for, or what is wrong with it, where its operation is known.
    ask: Option<Result<Ask, Refusal>>,
}

impl Received {
    fn new(head: Parts, body: Bytes) -> Self {
        let posted = head.method == Method::POST;
        let operation = Operation::of_path(head.uri.path()).filter(|_| posted);
        let mut received = Self { head, body, operation, ask: None };
        received.ask = operation
            .map(|operation| Ask::read(operation, received.header("x-partner-id"), &received.body));
        received
    }

    /// The reference of the payment that it makes or is about; empty without one.
    fn reference(&self) -> &str {
        match &self.ask {
            Some(Ok(ask)) => &ask.reference,
            Some(Err(_)) | None => "",
        }
    }

    fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Handles one request of one connection.
pub(super) async fn serve(
    gateway: &Arc<Gateway>,
    sabotage: &Sabotage,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    if matches!(head.method, Method::GET | Method::HEAD) {
        return heartbeat(gateway, sabotage).await;
    }
    let _open = gateway.counts.enter();
    let Some(body) = read_all(body).await? else {
        return Ok(respond(&Answer::refusal(Refusal::TooLarge, None)));
    };
    let received = Received::new(head, body);
    let operation = received.operation;

    let fault = gateway.faults().take(operation, received.reference());
    let signature_valid = check_signature(gateway, &received);
    let verdict = judge(gateway, &received, signature_valid, fault.as_ref());
    tell(gateway, &verdict);
    let delivery = spoil(&verdict, operation, fault.as_ref());
    let record = record(&received, signature_valid, fault.as_ref(), &verdict);
    if !gateway.house.quiet {
        print(&gateway.name, &record, &delivery);
    }
    let seq = gateway.note(record);
    let delay = fault.as_ref().map_or(verdict.delay, |fault| fault.delay);
    deliver(gateway, sabotage, fault.is_some(), delay, &delivery, Some(seq)).await
}

/// Notifies of what was executed just now, where that is wanted.
fn tell(gateway: &Arc<Gateway>, verdict: &Verdict) {
    let settled = &verdict.settled;
    let receipt = settled.receipt.as_ref().filter(|_| settled.executed);
    let pays = |one: &&Receipt| matches!(one.key.namespace, Namespace::Order | Namespace::Transfer);
    if let (Some(to), Some(receipt)) = (&gateway.house.notify, receipt.filter(pays)) {
        let (gateway, to, receipt) = (Arc::clone(gateway), to.clone(), receipt.clone());
        tokio::spawn(async move { notify::tell(&gateway, to, receipt).await });
    }
}

/// Heartbeats are counted and not logged: they would drown the payments.
async fn heartbeat(
    gateway: &Gateway,
    sabotage: &Sabotage,
) -> Result<Response<Full<Bytes>>, Dropped> {
    count(&gateway.counts.heartbeats);
    let fault = gateway.faults().take_for_heartbeat();
    let verdict = Verdict::plain(Answer::heartbeat());
    let delivery = spoil(&verdict, None, fault.as_ref());
    let delay = fault.as_ref().map_or(Duration::ZERO, |fault| fault.delay);
    deliver(gateway, sabotage, fault.is_some(), delay, &delivery, None).await
}

/// Reads a body to its end, or to `None` if it is too large. What is too large is still read: a
/// socket closed over unread bytes resets, and the client would never see why.
async fn read_all(mut body: Incoming) -> Result<Option<Bytes>, Dropped> {
    let (mut kept, mut received) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Dropped)?.into_data() else {
            continue;
        };
        received += data.len();
        if received > UNREAD_BYTES_MAX {
            return Err(Dropped);
        }
        if received <= BODY_BYTES_MAX {
            kept.extend_from_slice(&data);
        }
    }
    Ok((received <= BODY_BYTES_MAX).then(|| Bytes::from(kept)))
}

fn check_signature(gateway: &Gateway, received: &Received) -> Option<bool> {
    let keys = gateway.house.keys.as_slice();
    if keys.is_empty() {
        return None;
    }
    let (signature, timestamp) = (received.header("x-signature"), received.header("x-timestamp"));
    if matches!(received.operation, Some(Operation::ApplyToken | Operation::ApplyB2bToken)) {
        return Some(verify_token(keys, signature, received.header("x-client-key"), timestamp));
    }
    let signed = Signed {
        method: received.head.method.as_str(),
        path: received.head.uri.path(),
        timestamp,
        body: &received.body,
    };
    Some(verify_request(keys, signature, signed))
}

/// Does what a healthy gateway does, unless a fault keeps the payment from being executed.
fn judge(
    gateway: &Gateway,
    received: &Received,
    signature_valid: Option<bool>,
    fault: Option<&Fault>,
) -> Verdict {
    let (Some(operation), Some(ask)) = (received.operation, &received.ask) else {
        let known = received.head.method == Method::POST;
        let refusal = if known { Refusal::UnknownPath } else { Refusal::UnknownMethod };
        return Verdict::plain(Answer::refusal(refusal, None));
    };
    if signature_valid == Some(false) {
        return Verdict::plain(Answer::refusal(Refusal::Unsigned, Some(operation)));
    }
    let ask = match ask {
        Ok(ask) => ask.clone(),
        Err(refusal) => return Verdict::plain(Answer::refusal(*refusal, Some(operation))),
    };
    let magic = Magic::of(&ask);
    let executes = fault.is_none_or(|fault| fault.executes)
        && magic.is_none_or(|magic| magic.code.is_pending());
    let state = if magic.is_some() { State::Paying } else { State::Success };
    let settled = {
        let mut ledger = gateway.ledger();
        if executes || namespace(operation).is_none() {
            settle(&mut ledger, &ask, gateway.site, state)
        } else {
            note_unexecuted(&mut ledger, &ask, gateway.site);
            Ok(Settled::default())
        }
    };
    let known = settled.as_ref().cloned().unwrap_or_default();
    let answer = match (magic, settled) {
        (Some(magic), _) => Answer::coded(magic.code, Some(operation), Some(&ask), &known),
        (None, Ok(settled)) => Answer::success(&ask, &settled),
        (None, Err(refusal)) => Answer::refusal(refusal, Some(operation)),
    };
    let delay = magic.map_or(Duration::ZERO, |magic| magic.delay);
    Verdict { answer, ask: Some(ask), settled: known, delay }
}

async fn deliver(
    gateway: &Gateway,
    sabotage: &Sabotage,
    faulty: bool,
    delay: Duration,
    delivery: &Delivery,
    seq: Option<u64>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    if faulty {
        count(&gateway.counts.faults_served);
    }
    if !delay.is_zero() {
        sleep(delay).await;
    }
    match delivery {
        Delivery::Answer(answer) => {
            if let Some(seq) = seq {
                let answered = Answered { status: answer.status, code: answer.code.clone() };
                gateway.journal().answered(seq, answered);
            }
            Ok(respond(answer))
        }
        Delivery::Never => std::future::pending().await,
        Delivery::Reset => {
            sabotage.reset();
            Err(Dropped)
        }
        Delivery::Close => Err(Dropped),
        Delivery::Bytes(bytes) => {
            sabotage.replace(bytes.clone());
            let mut response = respond(&Answer::raw(200, Vec::new()));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok(response)
        }
    }
}

fn respond(answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body.clone())));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some((name, value)) = answer.header {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(timestamp) = HeaderValue::from_str(&clock::timestamp()) {
        headers.insert(TIMESTAMP, timestamp);
    }
    response
}

fn record(
    received: &Received,
    signature_valid: Option<bool>,
    fault: Option<&Fault>,
    verdict: &Verdict,
) -> Record {
    let ask = verdict.ask.as_ref();
    let money = ask.and_then(|ask| ask.money.as_ref());
    Record {
        seq: 0,
        time: clock::timestamp(),
        method: received.head.method.to_string(),
        path: cut(received.head.uri.path()),
        headers: visible_headers(&received.head.headers),
        body_bytes: received.body.len(),
        body_sha256: sha256_hex(&received.body),
        operation: received.operation.map(Operation::name),
        reference: ask.map(|ask| ask.reference.clone()).unwrap_or_default(),
        amount: money
            .map(|money| format!("{} {}", money.value, money.currency))
            .unwrap_or_default(),
        signature_valid,
        fault: fault.map(|fault| fault.kind.name()),
        executed: verdict.settled.executed,
        answered: None,
    }
}

/// One line for whoever watches: no headers, no customer.
fn print(gateway: &str, record: &Record, delivery: &Delivery) {
    let or_dash = |text: &str| -> String {
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if text.is_empty() { "-".to_owned() } else { text }
    };
    let outcome = match delivery {
        Delivery::Answer(answer) => answer.code.as_str(),
        Delivery::Never => "no-answer",
        Delivery::Reset => "connection-reset",
        Delivery::Close => "connection-closed",
        Delivery::Bytes(_) => "answer-spoilt",
    };
    let fault = record.fault.map(|fault| format!(" fault={fault}")).unwrap_or_default();
    let executed = if record.executed { " executed" } else { "" };
    // Nobody left to read it is no reason to stop answering.
    let _ = writeln!(
        io::stdout().lock(),
        "{} {gateway} {} {} {} {outcome}{executed}{fault}",
        record.time,
        record.operation.unwrap_or("unknown"),
        or_dash(&record.reference),
        or_dash(&record.amount),
    );
}
