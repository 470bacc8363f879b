//! `envoy.service.auth.v3.Authorization/Check`. Numbers of fields are those of Envoy's .proto files.

use super::claims::{Claims, Decided, as_text};
use super::grpc::Call;
use super::processing::{Place, options, set_headers};
use super::protobuf::{field, fields, put, put_number};

/// A call, which is one message.
#[derive(Debug, Default)]
pub(super) struct Check;

impl Call for Check {
    fn hear(&mut self, claims: &Claims, message: &[u8]) -> Vec<u8> {
        // CheckRequest.attributes.request.http
        let http = [1, 4, 2].iter().try_fold(message, |message, number| field(message, *number));
        let http = http.unwrap_or_default();
        let headers = fields(http).filter(|(number, _)| *number == 3);
        let partner = headers
            .map(|(_, entry)| entry)
            .find(|entry| field(entry, 1) == Some(b"x-partner-id"))
            .and_then(|entry| std::str::from_utf8(field(entry, 2)?).ok());
        let body = field(http, 12).unwrap_or_default();
        match claims.decide(partner.unwrap_or_default(), body) {
            Decided::Send(key) => allowed(&as_text(&key)),
            Decided::Answer { status, content_type, body } => denied(status, &content_type, &body),
        }
    }
}

fn allowed(key: &str) -> Vec<u8> {
    let mut ok = Vec::new();
    for option in set_headers(key, Place::Text) {
        put(&mut ok, 2, &option);
    }
    let mut response = Vec::new();
    put(&mut response, 1, &[]);
    put(&mut response, 3, &ok);
    response
}

fn denied(status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    const PERMISSION_DENIED: u64 = 7;
    let (mut rpc, mut http, mut denied, mut response) =
        <(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>::default();
    put_number(&mut rpc, 1, PERMISSION_DENIED);
    put_number(&mut http, 1, u64::from(status));
    put(&mut denied, 1, &http);
    let [kind, ..] = options(Place::Text, &[("content-type", content_type)]);
    put(&mut denied, 2, &kind);
    put(&mut denied, 3, body);
    put(&mut response, 1, &rpc);
    put(&mut response, 2, &denied);
    response
}
