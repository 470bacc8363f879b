//! `envoy.service.ext_proc.v3.ExternalProcessor/Process`: one call for each request, with a message for the
//! head and the body of it and of its answer. Numbers of fields are those of Envoy's .proto files.

use super::claims::{Claims, Decided, Key, as_text};
use super::grpc::Call;
use super::protobuf::{field, fields, put, put_number};

/// Messages of Envoy's, and of the answer.
const REQUEST_HEADERS: (u64, u64) = (2, 1);
const RESPONSE_HEADERS: (u64, u64) = (3, 2);
const REQUEST_BODY: (u64, u64) = (4, 3);
const RESPONSE_BODY: (u64, u64) = (5, 4);
const IMMEDIATE_RESPONSE: u64 = 7;

/// A request and what is known of it so far.
#[derive(Debug, Default)]
pub(super) struct Process {
    partner: String,
    key: Option<Key>,
    status: String,
    content_type: String,
}

impl Call for Process {
    fn hear(&mut self, claims: &Claims, message: &[u8]) -> Vec<u8> {
        let mut response = Vec::new();
        for (number, part) in fields(message) {
            if number == REQUEST_HEADERS.0 {
                self.partner = header(part, "x-partner-id");
                put(&mut response, REQUEST_HEADERS.1, &[]);
            } else if number == REQUEST_BODY.0 {
                let body = field(part, 1).unwrap_or_default();
                self.decide(claims.decide(&self.partner, body), &mut response);
            } else if number == RESPONSE_HEADERS.0 {
                self.status = header(part, ":status");
                self.content_type = header(part, "content-type");
                put(&mut response, RESPONSE_HEADERS.1, &[]);
            } else if number == RESPONSE_BODY.0 {
                if let Some(key) = &self.key {
                    let body = field(part, 1).unwrap_or_default();
                    claims.settle(key, &self.status, &self.content_type, body);
                }
                put(&mut response, RESPONSE_BODY.1, &[]);
            }
        }
        response
    }
}

impl Process {
    fn decide(&mut self, decided: Decided, response: &mut Vec<u8>) {
        match decided {
            Decided::Send(key) => {
                let (mut mutation, mut common, mut body) = <(Vec<u8>, Vec<u8>, Vec<u8>)>::default();
                for option in set_headers(&as_text(&key), Place::Bytes) {
                    put(&mut mutation, 1, &option);
                }
                put(&mut common, 2, &mutation);
                // Another route is chosen by these.
                put_number(&mut common, 5, 1);
                put(&mut body, 1, &common);
                put(response, REQUEST_BODY.1, &body);
                self.key = Some(key);
            }
            Decided::Answer { status, content_type, body } => {
                let (mut code, mut mutation, mut now) = <(Vec<u8>, Vec<u8>, Vec<u8>)>::default();
                put_number(&mut code, 1, u64::from(status));
                put(&mut now, 1, &code);
                for option in options(Place::Bytes, &[("content-type", &content_type)]) {
                    put(&mut mutation, 1, &option);
                }
                put(&mut now, 2, &mutation);
                put(&mut now, 3, &body);
                put(response, IMMEDIATE_RESPONSE, &now);
            }
        }
    }
}

/// Where a `HeaderValue` has its value: `ext_authz` reads the text, `ext_proc` the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Text = 2,
    Bytes = 3,
}

/// What a payment's request is sent with: `HeaderValueOption`s.
pub(super) fn set_headers(key: &str, place: Place) -> [Vec<u8>; 3] {
    options(
        place,
        &[
            ("x-dana-cluster", "dana_primary_first"),
            ("idempotency-key", key),
            ("accept-encoding", "identity"),
        ],
    )
}

/// `HeaderValueOption`s that take the place of what there is.
pub(super) fn options<const N: usize>(place: Place, headers: &[(&str, &str); N]) -> [Vec<u8>; N] {
    const OVERWRITE_IF_EXISTS_OR_ADD: u64 = 2;
    headers.map(|(name, value)| {
        let (mut header, mut option) = (Vec::new(), Vec::new());
        put(&mut header, 1, name.as_bytes());
        put(&mut header, place as u64, value.as_bytes());
        put(&mut option, 1, &header);
        put_number(&mut option, 3, OVERWRITE_IF_EXISTS_OR_ADD);
        option
    })
}

/// A header field's value, in an `HttpHeaders`.
fn header(headers: &[u8], name: &str) -> String {
    let all = field(headers, 1).unwrap_or_default();
    let found = fields(all).find(|(_, one)| field(one, 1) == Some(name.as_bytes()));
    let value = found.and_then(|(_, one)| field(one, 3).or_else(|| field(one, 2)));
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}
