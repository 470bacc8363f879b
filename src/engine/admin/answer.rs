//! Answers to operators: JSON, the page, or problem details (RFC 9457) that say what to do.

use super::object::{Object, list};
use super::ready::NotReady;
use super::realm::RealmProblem;
use super::resolve::ResolveError;
use crate::engine::config::{ConfigError, JoinError};
use crate::engine::health::OverrideError;
use crate::engine::limits;
use crate::engine::payment::ClaimState;
use crate::engine::protocol::Reply;
use crate::engine::time::{Length, Millis, Utc};

/// Why an operator does not get what they asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Without the token. Not even what there would be is told.
    Unauthorized,
    /// There is nothing of this name.
    NotFound,
    /// It takes other methods.
    Method { allow: &'static str },
    /// The body is too long.
    TooLarge,
    /// The body is not said to be JSON.
    ContentType { found: String },
    /// These mistakes are in the request.
    Mistakes(Vec<ConfigError>),
    /// The payments' filter has not joined the store yet.
    NotConfigured(Option<JoinError>),
    /// Payments cannot be taken yet.
    NotReady(NotReady),
    /// What is stored was written by another version of this filter.
    OtherVersion,
    /// Nobody has counted the claims yet.
    NotCounted {
        /// How long that takes.
        length: Millis,
    },
    /// A key too short to say where its record is, and not among the payments that are listed.
    NotListed,
    /// An operator's word on a payment that must not be.
    Resolution(ResolveError),
    /// An override that must not be.
    Override { refusal: OverrideError, gateway: String },
    /// Other writers were quicker, again and again. Nothing was written.
    Contended,
    /// The store failed; whether a write happened is not known.
    StoreFailed,
    /// Something about the store in etcd.
    Realm(RealmProblem),
}

/// The fixed part of a problem.
struct ProblemForm {
    status: u16,
    reason: &'static str,
    title: &'static str,
}

impl Problem {
    pub(super) fn reply(&self) -> Reply {
        let ProblemForm { status, reason, title } = self.form();
        let mut problem = Object::new()
            .with("type", format!("urn:dana-failover:admin:{reason}"))
            .with("title", title)
            .with("status", status)
            .with("detail", self.detail());
        if let Self::Mistakes(mistakes) = self {
            let mistake = |error: &ConfigError| {
                Object::new()
                    .with("path", error.path.as_str())
                    .with("expected", error.expected.as_str())
                    .with("found", error.found.as_str())
            };
            problem = problem.with("errors", list(mistakes.iter().map(mistake)));
        }
        let mut reply = Reply {
            status,
            headers: headers("application/problem+json"),
            body: format!("{problem}\n").into_bytes(),
            reason,
        };
        match self {
            Self::Unauthorized => {
                // Basic comes with a box to type the token into, for browsers.
                let basic = "Basic realm=\"dana-failover\", charset=\"UTF-8\"";
                let challenges = ["Bearer", basic];
                reply.headers.extend(challenges.map(|one| ("www-authenticate", one.to_owned())));
            }
            Self::Method { allow } => reply.headers.push(("allow", (*allow).to_owned())),
            Self::ContentType { .. } => {
                reply.headers.push(("accept-post", "application/json".to_owned()));
            }
            Self::NotConfigured(_)
            | Self::NotReady(_)
            | Self::NotCounted { .. }
            | Self::Contended
            | Self::StoreFailed
            | Self::Realm(_) => {
                reply.headers.push(("retry-after", "1".to_owned()));
            }
            Self::NotFound
            | Self::TooLarge
            | Self::Mistakes(_)
            | Self::OtherVersion
            | Self::NotListed
            | Self::Resolution(_)
            | Self::Override { .. } => {}
        }
        reply
    }

    const fn form(&self) -> ProblemForm {
        let (status, reason, title) = match self {
            Self::Unauthorized => (401, "unauthorized", "Token Required"),
            Self::NotFound => (404, "not_found", "Not Found"),
            Self::Method { .. } => (405, "method", "Method Not Allowed"),
            Self::TooLarge => (413, "body_too_large", "Request Too Large"),
            Self::ContentType { .. } => (415, "content_type", "Unsupported Content Type"),
            Self::Mistakes(_) => (400, "bad_request", "Bad Request"),
            Self::NotConfigured(_) => (503, "not_configured", "Payments Are Not Configured Yet"),
            Self::NotReady(_) => (503, "not_ready", "Payments Cannot Be Taken Yet"),
            Self::OtherVersion => (503, "other_version", "Store Of Another Version"),
            Self::NotCounted { .. } => (503, "not_counted", "Claims Are Not Counted Yet"),
            Self::NotListed => (404, "not_listed", "Payment Is Not Listed"),
            Self::Resolution(refused) => match refused {
                ResolveError::NotFound => (404, "no_payment", "No Such Payment"),
                ResolveError::Ambiguous => (409, "ambiguous", "Several Such Payments"),
                ResolveError::Unreadable => (503, "other_version", "Store Of Another Version"),
                ResolveError::LeaseRuns { .. } => (409, "under_way", "Payment Is Under Way"),
                ResolveError::Contradicts(_) => (409, "contradiction", "The Record Says Otherwise"),
                ResolveError::AlreadySo(_) => (409, "already_so", "The Record Says So Already"),
            },
            Self::Override { refusal, .. } => match refusal {
                OverrideError::NobodyLeft => (409, "nobody_left", "No Gateway Would Be Left"),
                OverrideError::Forced => (409, "forced", "Gateway Is Forced"),
                OverrideError::Barred => (409, "barred", "Gateway Is Barred"),
                OverrideError::Ttl => (409, "ttl", "Override Would Be Over At Once"),
            },
            Self::Contended => (503, "contended", "Store Is Busy"),
            Self::StoreFailed => (503, "store_failed", "Store Failed"),
            Self::Realm(problem) => problem.form(),
        };
        ProblemForm { status, reason, title }
    }

    fn detail(&self) -> String {
        let text = match self {
            Self::Unauthorized => {
                "Bring the operators' token, as Bearer, or as the password of Basic."
            }
            Self::NotFound => {
                "There are GET /, /status, /in-doubt and /ready, and POST /override and /resolve."
            }
            Self::Method { allow } => return format!("This takes {allow} only."),
            Self::TooLarge => {
                return format!(
                    "The body is longer than {} bytes. Nothing was changed.",
                    limits::ADMIN_BODY_BYTES_MAX
                );
            }
            Self::ContentType { found } => {
                return format!(
                    "content-type: expected application/json, found {found}. Nothing was changed."
                );
            }
            Self::Mistakes(mistakes) => {
                let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                return format!("{}. Nothing was changed.", lines.join("; "));
            }
            Self::NotConfigured(None) => {
                "The payments' filter has not configured this vm_id yet: it is not there, has not \
                 accepted its configuration, or goes by another vm_id than this listener."
            }
            Self::NotConfigured(Some(JoinError::Gateway { name })) => {
                return format!(
                    "The payments' filter has not configured this vm_id with a gateway {name} yet: \
                     this listener's gateways are not those of the payments' listener, or its \
                     configuration was not accepted."
                );
            }
            Self::NotConfigured(Some(JoinError::ClaimsMax { stored, configured })) => {
                return format!(
                    "The payments' filter has configured this vm_id with another \
                     idempotency.store.local.claims_max ({stored}, here {configured}, both rounded \
                     up): give this listener the configuration of the payments' listener."
                );
            }
            Self::NotReady(why) => why.detail(),
            Self::OtherVersion => {
                "What is known of the gateways was written by another version of the filter, and \
                 was left as it is. Give both listeners the same module."
            }
            Self::NotCounted { length } => {
                return format!(
                    "The payments' filter has not counted its claims yet. It does so again and \
                     again; in a store of this size one count takes {} at most, and seconds where it is \
                     nearly empty.",
                    Length(*length)
                );
            }
            Self::NotListed => {
                "No payment that GET /in-doubt lists has a key that begins like this one. Give at \
                 least 40 digits of it, as the access log has, to find any other. Nothing was \
                 changed."
            }
            Self::Resolution(refused) => return unresolved(*refused),
            Self::Override { refusal, gateway } => return refused(*refusal, gateway),
            Self::Contended => {
                "Other writers were quicker again and again. Nothing was changed: try again."
            }
            Self::StoreFailed => {
                "The store failed. Whether anything was changed is not known: see GET /status."
            }
            Self::Realm(problem) => problem.detail(),
        };
        text.to_owned()
    }
}

fn refused(refusal: OverrideError, gateway: &str) -> String {
    match refusal {
        OverrideError::NobodyLeft => format!(
            "Without {gateway} no gateway would be left that can take a payment now. Nothing was \
             changed. Wait until another one is usable (GET /status says what it lacks), or force \
             another one if you know better than its breaker and heartbeats."
        ),
        OverrideError::Forced => format!(
            "{gateway} is forced, so all new payments go to it: it cannot be drained as well. \
             Nothing was changed. Set it to auto, or force another gateway, and then drain it."
        ),
        OverrideError::Barred => format!(
            "{gateway} is barred: an answer came over a connection that is not what its tls \
             demands, and nobody is forced on to it. Nothing was changed. Find out where those \
             connections end, and then admit it."
        ),
        OverrideError::Ttl => {
            "The override would be over at once, or last longer than a day. Nothing \
                         was changed. Give it a ttl_s from 1 to 86400."
                .to_owned()
        }
    }
}

fn unresolved(refused: ResolveError) -> String {
    let why = match refused {
        ResolveError::NotFound => "No payment has a key that begins like this one.".to_owned(),
        ResolveError::Ambiguous => {
            "Several payments have a key that begins like this one: give more of it.".to_owned()
        }
        ResolveError::Unreadable => {
            "The record was written by another version of the filter. Give both listeners the same \
             module."
                .to_owned()
        }
        ResolveError::LeaseRuns { until } => format!(
            "An attempt may be under way until {}, and nobody can know how it ends. Ask the \
             gateway again after that.",
            Utc(until)
        ),
        ResolveError::Contradicts(ClaimState::InDoubt { .. }) => {
            "The payment cannot have reached that gateway: GET /in-doubt names those that it may \
             have reached. Look the payment up there."
                .to_owned()
        }
        ResolveError::Contradicts(state) => format!(
            "The record has evidence of the contrary: it is {}. What a gateway has proven is not \
             overruled; reconcile it with the gateway.",
            state.name()
        ),
        ResolveError::AlreadySo(state) => format!("The record is {} already.", state.name()),
    };
    format!("{why} Nothing was changed.")
}

/// An answer with a JSON body.
pub(super) fn json(body: &Object, reason: &'static str) -> Reply {
    let body = format!("{body}\n").into_bytes();
    Reply { status: 200, headers: headers("application/json"), body, reason }
}

/// Lines of text.
pub(super) fn text(text: String, reason: &'static str) -> Reply {
    let headers = headers("text/plain; charset=utf-8");
    Reply { status: 200, headers, body: text.into_bytes(), reason }
}

/// Whether payments can be taken, or what is in the way.
pub(super) fn ready(hindrance: Option<NotReady>) -> Reply {
    match hindrance {
        None => json(&Object::new().with("ready", true), "ready"),
        Some(why) => Problem::NotReady(why).reply(),
    }
}

/// The page. Nothing is loaded from anywhere, and nothing on it runs.
pub(super) fn page(body: String) -> Reply {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    let mut headers = headers("text/html; charset=utf-8");
    headers.push(("content-security-policy", POLICY.to_owned()));
    Reply { status: 200, headers, body: body.into_bytes(), reason: "page" }
}

/// What is told is true for a moment and for whoever asked.
fn headers(content_type: &str) -> Vec<(&'static str, String)> {
    [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("vary", "accept, authorization"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}
