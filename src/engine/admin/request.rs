//! What an operator asks for, read strictly: a misspelt field that is ignored would do something
//! else than was meant.

use serde_json::Value;

use super::answer::Problem;
use super::auth::Caller;
use crate::engine::codec::json;
use crate::engine::config::{Config, ConfigError, Errors, Fields, Node};
use crate::engine::event::Request;
use crate::engine::health::OverrideKind;
use crate::engine::limits;
use crate::engine::payment::KeyFront;
use crate::engine::time::Millis;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// How everything is, for machines.
    Status,
    /// The same for people.
    Page,
    /// Whether this Envoy can take payments, for balancers. They have no token.
    Ready,
    /// How far the writers of the audit trail were when that was published last.
    AuditHeads,
    /// The payments that have been in doubt longest.
    InDoubt {
        /// At most so many.
        limit: usize,
        /// For people.
        page: bool,
    },
    /// That a gateway is forced or drained, or no longer.
    Override(OverrideRequest),
    /// That a payment has ended as somebody found out.
    Resolve(ResolveRequest),
}

/// What an operator wants of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This, for so long.
    Override(OverrideKind, Millis),
    /// It is left to breakers and heartbeats again.
    Auto,
    /// It is admitted again after it was barred because of its connection.
    Admit,
}

impl Wanted {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Override(steer, _) => steer.name(),
            Self::Auto => "auto",
            Self::Admit => "admit",
        }
    }
}

/// What is to become of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OverrideRequest {
    /// One of the configured names.
    pub(super) gateway: String,
    /// What.
    pub(super) change: Wanted,
    /// Who asks.
    pub(super) actor: String,
    /// Why.
    pub(super) reason: String,
}

/// What somebody found out about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolveRequest {
    /// Of which one.
    pub(super) key: KeyFront,
    /// What.
    pub(super) verdict: ResolvedAs,
    /// Where the proof is.
    pub(super) evidence: String,
    /// Who says so.
    pub(super) actor: String,
    /// Why.
    pub(super) reason: String,
}

/// How a payment has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResolvedAs {
    /// Executed, by the gateway of this name.
    ExecutedAt(String),
    /// Executed by nobody, for good.
    NotExecuted,
}

/// The header fields that matter.
#[derive(Clone, Copy, Default)]
struct AdminHead<'a> {
    method: &'a str,
    target: &'a str,
    accept: &'a str,
    content_type: &'a str,
}

impl<'a> AdminHead<'a> {
    fn pick(request: &Request<'a>) -> Self {
        let mut head = Self::default();
        for &(name, value) in request.headers {
            let text = std::str::from_utf8(value).unwrap_or_default();
            match name {
                b":method" => head.method = text,
                b":path" => head.target = text,
                b"accept" => head.accept = text,
                b"content-type" => head.content_type = text,
                _ => {}
            }
        }
        head
    }
}

const READS: &str = "GET, HEAD";
const WRITES: &str = "POST";

impl Ask {
    /// What `request` asks for, of `caller` if somebody has shown the token.
    pub(super) fn read(
        request: &Request<'_>,
        caller: Option<&Caller>,
        config: &Config,
    ) -> Result<Self, Problem> {
        let head = AdminHead::pick(request);
        let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
        if path == "/ready" && READS.split(", ").any(|method| method == head.method) {
            return Ok(Self::Ready);
        }
        let caller = caller.ok_or(Problem::Unauthorized)?;
        let allow = match path {
            "/" | "/status" | "/in-doubt" | "/ready" => READS,
            "/audit/heads" if config.audit.is_some() => READS,
            "/override" | "/resolve" => WRITES,
            _ => return Err(Problem::NotFound),
        };
        if !allow.split(", ").any(|method| method == head.method) {
            return Err(Problem::Method { allow });
        }
        if request.body.len() > limits::ADMIN_BODY_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        if path == "/in-doubt" {
            let page = prefers_html(head.accept);
            return read_limit(query).map(|limit| Self::InDoubt { limit, page });
        }
        if !query.is_empty() {
            return Err(mistake("query", "nothing after the path", query));
        }
        match path {
            "/" => Ok(Self::Page),
            "/status" if prefers_html(head.accept) => Ok(Self::Page),
            "/status" => Ok(Self::Status),
            "/audit/heads" => Ok(Self::AuditHeads),
            "/override" => {
                let body = PostedObject::read(&head, request.body)?;
                body.parse(|fields| read_wish(fields, caller, config)).map(Self::Override)
            }
            _ => {
                let body = PostedObject::read(&head, request.body)?;
                body.parse(|fields| read_word(fields, caller)).map(Self::Resolve)
            }
        }
    }
}

/// One mistake in a request.
pub(super) fn mistake(path: &str, expected: &str, found: &str) -> Problem {
    // As in messages about the configuration: short, and on one line.
    let found = found.chars().filter(|char| !char.is_control()).take(60).collect();
    Problem::Mistakes(vec![ConfigError {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    }])
}

fn read_limit(query: &str) -> Result<usize, Problem> {
    const MAX: u64 = limits::IN_DOUBT_LISTED_MAX as u64;
    let limit = match query.strip_prefix("limit=") {
        None if query.is_empty() => Some(limits::IN_DOUBT_SHOWN),
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => None,
    };
    let limit = limit.filter(|limit| (1..=MAX).contains(limit));
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.ok_or_else(|| mistake("query", &format!("limit=1 to limit={MAX}, or nothing"), query))
}

/// A JSON object that was posted.
struct PostedObject(Value);

impl PostedObject {
    /// A page of another site can make a browser post a form with the credentials that it keeps,
    /// but not JSON: so nothing else is taken.
    fn read(head: &AdminHead<'_>, bytes: &[u8]) -> Result<Self, Problem> {
        let media_type = head.content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let found = if media_type.is_empty() { "nothing" } else { media_type };
            let found = found.chars().filter(|char| !char.is_control()).take(60).collect();
            return Err(Problem::ContentType { found });
        }
        json::members(bytes).map(|members| Self(Value::Object(members))).map_err(|error| {
            mistake("body", "one JSON object without repeated members", &error.to_string())
        })
    }

    /// What `read` makes of its members; all mistakes in them, if there are any.
    fn parse<T>(&self, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Result<T, Problem> {
        let errors = Errors::default();
        let made = read(&Node::root(&self.0, &errors).fields());
        let mistakes = errors.into_vec();
        made.filter(|_| mistakes.is_empty()).ok_or(Problem::Mistakes(mistakes))
    }
}

fn read_wish(fields: &Fields<'_>, caller: &Caller, config: &Config) -> Option<OverrideRequest> {
    let gateway = read_gateway(fields, "gateway", config);
    // Until it is known for how long.
    let [force, drain] =
        [OverrideKind::Force, OverrideKind::Drain].map(|s| Wanted::Override(s, Millis::new(0)));
    let steers =
        [("force", force), ("drain", drain), ("auto", Wanted::Auto), ("admit", Wanted::Admit)];
    let expected = "\"force\" or \"drain\" or \"auto\" or \"admit\"";
    let steer = fields.demand("steer", expected).and_then(|node| node.choice(&steers));
    let range = 1..=limits::OVERRIDE_TTL_MS_MAX / 1000;
    let ttl = match steer {
        Some(wanted @ (Wanted::Auto | Wanted::Admit)) => {
            if let Some(node) = fields.get("ttl_s") {
                node.wrong(&format!("nothing: {} has no end", wanted.name()));
            }
            None
        }
        Some(Wanted::Override(..)) | None => {
            let node = fields.demand("ttl_s", "a whole number from 1 to 86400, in seconds");
            node.and_then(|node| node.number(&range))
        }
    };
    let (actor, reason) = (read_actor(fields, caller), read_reason(fields));
    let steer = match steer? {
        Wanted::Override(steer, _) => {
            Wanted::Override(steer, Millis::new(ttl?.saturating_mul(1000)))
        }
        other @ (Wanted::Auto | Wanted::Admit) => other,
    };
    Some(OverrideRequest { gateway: gateway?, change: steer, actor: actor?, reason: reason? })
}

fn read_word(fields: &Fields<'_>, caller: &Caller) -> Option<ResolveRequest> {
    const KEY: &str = "16 to 64 hexadecimal digits, in pairs: the front of a claim key";
    const VERDICT: &str = "a gateway's name; or executed: false";
    const EVIDENCE: &str = "the id of the proof, 1 to 128 bytes of plain text";
    let key = fields.demand("key", KEY);
    let key = key.and_then(|node| node.text(KEY, |text| KeyFront::parse(text).is_some()));
    let verdict = match (fields.get("executed"), fields.get("executed_at")) {
        (None, None) => fields.demand("executed_at", VERDICT).and(None),
        (None, Some(node)) => {
            node.text(VERDICT, |text| !text.is_empty()).map(ResolvedAs::ExecutedAt)
        }
        (Some(node), None) => match node.flag() {
            Some(false) => Some(ResolvedAs::NotExecuted),
            Some(true) => {
                node.wrong("false; of a payment that was executed, executed_at says where");
                None
            }
            None => None,
        },
        (Some(node), Some(_)) => {
            node.wrong("nothing beside executed_at");
            None
        }
    };
    let evidence = fields
        .demand("evidence", EVIDENCE)
        .and_then(|node| node.text(EVIDENCE, |text| is_plain(text, limits::EVIDENCE_ID_BYTES_MAX)));
    let (actor, reason) = (read_actor(fields, caller), read_reason(fields));
    Some(ResolveRequest {
        key: KeyFront::parse(&key?)?,
        verdict: verdict?,
        evidence: evidence?,
        actor: actor?,
        reason: reason?,
    })
}

fn read_gateway(fields: &Fields<'_>, name: &'static str, config: &Config) -> Option<String> {
    let names = config.gateways.iter().map(|gateway| gateway.name.as_str());
    let expected = names.clone().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    let node = fields.demand(name, &expected)?;
    node.text(&expected, |text| names.clone().any(|name| name == text))
}

/// Who asks: as they say in the request, or by the name that they logged in with.
fn read_actor(fields: &Fields<'_>, caller: &Caller) -> Option<String> {
    const EXPECTED: &str = "who asks, 1 to 64 bytes of plain text";
    let fits = |text: &str| is_plain(text, limits::OVERRIDE_ACTOR_BYTES_MAX);
    let user = caller.user.clone().filter(|user| fits(user));
    let node = match &user {
        Some(_) => fields.get("actor"),
        None => fields.demand("actor", EXPECTED),
    };
    node.map_or(user, |node| node.text(EXPECTED, fits))
}

fn read_reason(fields: &Fields<'_>) -> Option<String> {
    const EXPECTED: &str = "why, 1 to 256 bytes of plain text";
    let node = fields.demand("reason", EXPECTED)?;
    node.text(EXPECTED, |text| is_plain(text, limits::OVERRIDE_REASON_BYTES_MAX))
}

/// Whether a text is what it looks like in a log or on a page: no control characters, nothing
/// invisible, nothing that turns the direction of writing.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    let deceives = |char: char| {
        char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(char, '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
    };
    !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(deceives)
}

/// Whether HTML is wanted rather than JSON. Who does not care gets JSON.
fn prefers_html(accept: &str) -> bool {
    let quality = |wanted: [&str; 3]| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?;
            let closeness = wanted.iter().position(|one| name.eq_ignore_ascii_case(one))?;
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, per_mille);
            Some((closeness, weight))
        });
        ranges.min_by_key(|(closeness, _)| *closeness).map_or(0, |(_, weight)| weight)
    };
    let html = quality(["text/html", "text/*", "*/*"]);
    html > quality(["application/json", "application/*", "*/*"])
}

/// A weight of 0 to 1 with at most three decimals, in thousandths; zero when it is none.
fn per_mille(text: &str) -> u32 {
    let (mut weight, mut place) = (0, 1000);
    for byte in text.bytes() {
        match byte {
            b'.' => {}
            b'0'..=b'9' if place > 0 => {
                weight += u32::from(byte - b'0') * place;
                place /= 10;
            }
            _ => return 0,
        }
    }
    weight
}

#[cfg(test)]
mod tests;
