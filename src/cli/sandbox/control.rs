//! The control API: faults on demand, and what the gateways saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::fault::{Order, Scope};
use super::gateway::Gateway;
use super::help;
use super::ledger::{Ledger, Site};
use super::listing::{Listing, list};
use super::notify::{self, Notice};

/// What the control API can reach.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) gateways: Arc<[Arc<Gateway>]>,
    /// Each ledger once, also when the gateways share it.
    pub(super) ledgers: Arc<[Arc<Mutex<Ledger>>]>,
}

/// An answer that says what was expected.
struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        json_response(self.0, &json!({ "error": self.1 }))
    }
}

/// The routes of the control API.
pub(super) fn router(control: Control) -> Router {
    Router::new()
        .route("/", get(|| async { help::TEXT }))
        .route("/gateways/{name}/fault", get(show_faults).post(set_fault).delete(heal))
        .route("/gateways/{name}/notify", post(send_notice))
        .route("/ledger", get(show_ledger))
        .route("/requests", get(show_requests))
        .route("/stats", get(show_stats).delete(forget_stats))
        .route("/reset", post(reset))
        .fallback(|| async { wrong_route(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { wrong_route(StatusCode::METHOD_NOT_ALLOWED) })
        .with_state(control)
}

fn wrong_route(status: StatusCode) -> Wrong {
    let expected = "expected GET /, GET /ledger, GET /requests, GET or DELETE /stats, POST /reset, \
                    POST /gateways/{name}/notify, or GET, POST or DELETE /gateways/{name}/fault";
    Wrong(status, expected.to_owned())
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut text = value.to_string();
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

impl Control {
    fn gateway(&self, name: &str) -> Result<&Arc<Gateway>, Wrong> {
        self.gateways.iter().find(|gateway| gateway.name == name).ok_or_else(|| {
            let names: Vec<&str> =
                self.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
            let message = format!("no gateway {name}: expected one of {}", names.join(", "));
            Wrong(StatusCode::NOT_FOUND, message)
        })
    }

    /// The name of the gateway at a site.
    pub(super) fn name(&self, site: Site) -> &str {
        self.gateways.get(site).map_or("", |gateway| gateway.name.as_str())
    }
}

async fn show_faults(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<Response, Wrong> {
    control.gateway(&name).map(|gateway| faults(gateway))
}

async fn set_fault(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let gateway = control.gateway(&name)?;
    let order = Order::parse(&body).map_err(|error| Wrong(StatusCode::BAD_REQUEST, error))?;
    obey(gateway, order).await?;
    Ok(faults(gateway))
}

async fn heal(State(control): State<Control>, Path(name): Path<String>) -> Result<Response, Wrong> {
    let gateway = control.gateway(&name)?;
    obey(gateway, Order::Heal(Scope::default())).await?;
    Ok(faults(gateway))
}

async fn obey(gateway: &Gateway, order: Order) -> Result<(), Wrong> {
    let outcome = gateway.obey(order).await;
    outcome.map_err(|error| Wrong(StatusCode::SERVICE_UNAVAILABLE, error))
}

fn faults(gateway: &Gateway) -> Response {
    let body = json!({ "gateway": gateway.name, "faults": gateway.faults().to_json() });
    json_response(StatusCode::OK, &body)
}

async fn send_notice(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let gateway = control.gateway(&name)?;
    let notice = Notice::parse(&body).map_err(|error| Wrong(StatusCode::BAD_REQUEST, error))?;
    let answers = notify::send(gateway, &notice).await;
    let answers = answers.map_err(|error| Wrong(StatusCode::BAD_GATEWAY, error))?;
    let answers: Vec<Value> = answers.iter().map(notify::Answered::to_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "answers": answers })))
}

async fn reset(State(control): State<Control>) -> Result<Response, Wrong> {
    for gateway in control.gateways.iter() {
        obey(gateway, Order::Heal(Scope::default())).await?;
        gateway.forget();
    }
    Ok(json_response(StatusCode::OK, &json!({ "reset": true })))
}

async fn show_stats(State(control): State<Control>) -> Response {
    let stats: BTreeMap<&str, Value> =
        control.gateways.iter().map(|gateway| (gateway.name.as_str(), gateway.stats())).collect();
    json_response(StatusCode::OK, &json!(stats))
}

async fn forget_stats(State(control): State<Control>) -> Response {
    for gateway in control.gateways.iter() {
        gateway.counts.forget();
    }
    show_stats(State(control)).await
}

async fn show_requests(
    State(control): State<Control>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let query = parse_query(query.as_deref(), &["gateway", "reference", "since"])?;
    let since = number(&query, "since")?.unwrap_or(0);
    let (wanted, reference) = (query.get("gateway"), query.get("reference"));
    if let Some(name) = wanted {
        control.gateway(name)?;
    }
    let mut requests: Vec<(u64, Value)> = Vec::new();
    for gateway in control.gateways.iter() {
        if wanted.is_none_or(|name| *name == gateway.name) {
            let journal = gateway.journal();
            let records = journal
                .since(since)
                .filter(|record| reference.is_none_or(|text| *text == record.reference));
            requests.extend(records.map(|record| (record.seq, record.to_json(&gateway.name))));
        }
    }
    requests.sort_by_key(|(seq, _)| *seq);
    let requests: Vec<Value> = requests.into_iter().map(|(_, request)| request).collect();
    Ok(json_response(StatusCode::OK, &json!({ "requests": requests })))
}

async fn show_ledger(
    State(control): State<Control>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let query = parse_query(query.as_deref(), &["format", "limit", "reference"])?;
    let limit = number(&query, "limit")?.unwrap_or(u64::MAX);
    let as_text = match query.get("format").map(String::as_str) {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => return Err(bad_query("format: expected json or text")),
    };
    let reference = query.get("reference").cloned();
    // A ledger can be long: other answers must not wait behind it.
    let listing = tokio::task::spawn_blocking(move || {
        let mut listing = Listing::new(as_text, limit);
        list(&control, reference.as_deref(), &mut listing);
        listing.finish()
    });
    let text = listing
        .await
        .map_err(|error| Wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let content_type = if as_text { "text/plain; charset=utf-8" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn parse_query(query: Option<&str>, known: &[&str]) -> Result<BTreeMap<String, String>, Wrong> {
    let mut fields = BTreeMap::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&name) {
            return Err(bad_query(&format!("{name}: expected one of {}", known.join(", "))));
        }
        if !value.is_empty() {
            fields.insert(name.to_owned(), decode_percent(value));
        }
    }
    Ok(fields)
}

fn number(query: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Wrong> {
    query
        .get(name)
        .map(|text| {
            text.parse().map_err(|_| bad_query(&format!("{name}: expected a whole number")))
        })
        .transpose()
}

fn bad_query(message: &str) -> Wrong {
    Wrong(StatusCode::BAD_REQUEST, message.to_owned())
}

fn decode_percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let escaped = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(b'%'));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
