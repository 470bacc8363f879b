//! The header fields that matter, and what makes one request unlike another.

use crate::engine::codec::{hex, sha256};
use crate::engine::config::{PARTNER_HEADER, Policy};
use crate::engine::event::{Request, Subject};
use crate::engine::limits;
use crate::engine::payment::Money;
use crate::engine::protocol::RequestError;
use crate::engine::time::Timestamp;

/// The header fields that matter.
#[derive(Default)]
pub(in crate::engine::exchange) struct RequestHead<'a> {
    pub(in crate::engine::exchange) method: &'a str,
    pub(in crate::engine::exchange) partner: Option<&'a str>,
    pub(in crate::engine::exchange) idempotency_key: Option<&'a str>,
    pub(in crate::engine::exchange) external_id: Option<&'a str>,
    pub(in crate::engine::exchange) customer_token: Option<&'a str>,
    pub(in crate::engine::exchange) request_id: &'a str,
    pub(in crate::engine::exchange) accepts_encodings: bool,
    /// What is to be done about the header field by which the body is compressed, or in another
    /// encoding than UTF-8.
    pub(in crate::engine::exchange) foreign_encoding: Option<&'static str>,
}

/// Fields by which a client could steer Envoy's router. Envoy strips them before the filter; if
/// one arrives, that protection is missing.
const STEERING: [&[u8]; 5] = [
    b"x-envoy-retry-",
    b"x-envoy-retriable-",
    b"x-envoy-max-retries",
    b"x-envoy-hedge-",
    b"x-envoy-upstream-",
];

/// The same, whatever Envoy's `header_prefix` has made of `x-envoy`.
const STEERING_ENDS: [&[u8]; 9] = [
    b"-retry-on",
    b"-retry-grpc-on",
    b"-retriable-status-codes",
    b"-retriable-header-names",
    b"-max-retries",
    b"-hedge-on-per-try-timeout",
    b"-upstream-alt-stat-name",
    b"-upstream-rq-timeout-ms",
    b"-upstream-rq-per-try-timeout-ms",
];

fn steers(name: &[u8]) -> bool {
    let begins = name.starts_with(b"x-envoy-") && STEERING.iter().any(|one| name.starts_with(one));
    // Each request has a dozen fields, and few of their names end with two of these letters.
    let may_end = matches!(name.last_chunk(), Some(b"on" | b"es" | b"ut" | b"me" | b"ms"));
    begins || (may_end && STEERING_ENDS.iter().any(|end| name.ends_with(end)))
}

impl<'a> RequestHead<'a> {
    /// The fields, and the first mistake among them. What is wrong elsewhere leaves the partner and
    /// the payment readable; a partner that stands there in two ways is none.
    // One caller in each module.
    #[inline(always)]
    pub(in crate::engine::exchange) fn pick(
        request: &Request<'a>,
        policy: &Policy,
    ) -> (Self, Result<(), RequestError>) {
        let (mut head, mut partner) = (Self::default(), Ok(()));
        let mut others = Ok(());
        for &(name, value) in request.headers {
            if name == policy.config.partner_header.as_bytes() {
                let max = limits::PARTNER_CHARS_MAX;
                partner = partner.and_then(|()| once(&mut head.partner, name, value, max));
                continue;
            }
            let taken = head.take(name, value, policy);
            others = others.and(taken);
        }
        if partner.is_err() {
            head.partner = None;
        }
        (head, partner.and(others))
    }

    /// Whose request it is and what it says of itself: this reference, and this much money.
    pub(in crate::engine::exchange) fn subject(
        &self,
        reference: Option<&str>,
        money: Money,
    ) -> Subject {
        Subject {
            request_id: self.request_id.to_owned(),
            partner: self.partner.unwrap_or_default().to_owned(),
            reference: reference.map(str::to_owned),
            money,
        }
    }

    fn take(
        &mut self,
        name: &'a [u8],
        value: &'a [u8],
        policy: &Policy,
    ) -> Result<(), RequestError> {
        match name {
            b":method" => self.method = text(name, value)?,
            b"x-request-id" => self.request_id = std::str::from_utf8(value).unwrap_or_default(),
            b"idempotency-key" => once(&mut self.idempotency_key, name, value, 1024)?,
            b"x-external-id" => once(&mut self.external_id, name, value, 1024)?,
            b"authorization-customer" => {
                once(&mut self.customer_token, name, value, 4096)?;
                let token = self
                    .customer_token
                    .map(|token| token.split_once(' ').map_or(token, |(_, token)| token).trim());
                self.customer_token = token.filter(|token| !token.is_empty());
            }
            b"content-encoding" if !value.eq_ignore_ascii_case(b"identity") => {
                self.foreign_encoding = Some("Leave content-encoding out");
            }
            b"content-type" if !is_utf8(value) => {
                self.foreign_encoding = Some("Let content-type name no charset but utf-8");
            }
            b"accept-encoding" => self.accepts_encodings |= value != b"identity",
            _ if name == policy.config.route_header.as_bytes()
                || name.starts_with(b"x-dana-")
                || steers(name) =>
            {
                let name = String::from_utf8_lossy(name);
                return Err(RequestError::BadField(format!("Header {name} may not be sent.")));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a `content-type` leaves the encoding to JSON, which is UTF-8, or says just that.
fn is_utf8(content_type: &[u8]) -> bool {
    let mut parameters = content_type.split(|byte| *byte == b';').skip(1);
    parameters.all(|parameter| {
        let (name, value) = match parameter.iter().position(|byte| *byte == b'=') {
            Some(at) => parameter.split_at(at),
            None => (parameter, &[][..]),
        };
        let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        let is_charset = name.trim_ascii().eq_ignore_ascii_case(b"charset");
        let known: [&[u8]; 3] = [b"utf-8", b"utf8", b"us-ascii"];
        !is_charset || known.iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

/// The partner that a call of SNAP's token service names: by its client key, which at DANA is the
/// partner's id. Where partners have another header, that one alone names them.
pub(in crate::engine::exchange) fn client_key<'a>(
    request: &Request<'a>,
    policy: &Policy,
) -> Result<Option<&'a str>, RequestError> {
    let mut partner = None;
    let fields = request.headers.iter().filter(|(name, _)| *name == b"x-client-key");
    for (name, value) in fields.filter(|_| policy.config.partner_header == PARTNER_HEADER) {
        once(&mut partner, name, value, limits::PARTNER_CHARS_MAX)?;
    }
    Ok(partner)
}

/// The request target; empty when there is none that can be read.
pub(in crate::engine::exchange) fn path<'a>(request: &Request<'a>) -> &'a str {
    let field = request.headers.iter().find(|(name, _)| *name == b":path");
    field.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
}

fn text<'a>(name: &[u8], value: &'a [u8]) -> Result<&'a str, RequestError> {
    std::str::from_utf8(value).map_err(|_| {
        RequestError::BadField(format!("Header {} is not UTF-8.", String::from_utf8_lossy(name)))
    })
}

pub(in crate::engine::exchange) fn once<'a>(
    place: &mut Option<&'a str>,
    name: &[u8],
    value: &'a [u8],
    chars_max: usize,
) -> Result<(), RequestError> {
    let value = text(name, value)?;
    let refuse = |what: &str| {
        let name = String::from_utf8_lossy(name);
        Err(RequestError::BadField(format!("Header {name} {what}.")))
    };
    if value.len() > chars_max {
        return refuse(&format!("is longer than {chars_max}"));
    }
    if place.replace(value).is_some() {
        return refuse("stands twice");
    }
    Ok(())
}

/// What makes one request unlike another. The client may have chosen the request id, so time and
/// context are part of it.
pub(in crate::engine::exchange) struct Stamp<'a> {
    pub(in crate::engine::exchange) request_id: &'a str,
    pub(in crate::engine::exchange) now: Timestamp,
    pub(in crate::engine::exchange) context: u32,
}

impl Stamp<'_> {
    /// FNV-1a: cheap, and nothing depends on its being hard to guess.
    pub(in crate::engine::exchange) fn number(&self) -> u32 {
        let time = self.now.as_millis().to_le_bytes();
        let context = self.context.to_le_bytes();
        let bytes = self.request_id.bytes().chain(time).chain(context);
        bytes.fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// 32 characters; SNAP allows 36.
    pub(in crate::engine::exchange) fn text(&self) -> String {
        let (time, context) = (self.now.as_millis().to_le_bytes(), self.context.to_le_bytes());
        let digest = sha256(&[self.request_id.as_bytes(), &time, &context].concat());
        digest.first_chunk::<16>().map(|front| hex(front)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_steer_is_found() {
        for name in STEERING {
            assert!(steers(name), "{}", String::from_utf8_lossy(name));
        }
        for end in STEERING_ENDS {
            assert!(steers(&[b"x-shop", end].concat()), "{}", String::from_utf8_lossy(end));
        }
        assert!(!steers(b"x-signature") && !steers(b"x-envoy-expected-rq-timeout-ms"));
    }
}
