//! Faults on demand: what can be wrong with a gateway, and how the control API spells it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::{INQUIRIES, REFERENCE_BYTES_MAX, inquired};
use super::code::Code;
use super::operations::Operation;

/// A fault that waits longer than this is a `hang`.
const DELAY_MS_MAX: u64 = 3_600_000;
const FIELDS: [&str; 12] = [
    "fault",
    "count",
    "every",
    "operation",
    "reference",
    "executes",
    "delay_ms",
    "code",
    "status",
    "body",
    "says",
    "heartbeats",
];
const KINDS: &str = "none, refuse, hang, slow, reset, close, garbage, truncate, empty, html, code, \
                     raw, wrong-reference, compressed, trap, tell";

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Refuse,
    Hang,
    Slow,
    Reset,
    Close,
    Garbage,
    Truncate,
    Empty,
    Html { status: u16 },
    Code(Code),
    Raw { status: u16, body: String },
    WrongReference,
    Compressed,
    Trap,
    Tell(Told),
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Slow => "slow",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::Garbage => "garbage",
            Self::Truncate => "truncate",
            Self::Empty => "empty",
            Self::Html { .. } => "html",
            Self::Code(_) => "code",
            Self::Raw { .. } => "raw",
            Self::WrongReference => "wrong-reference",
            Self::Compressed => "compressed",
            Self::Trap => "trap",
            Self::Tell(_) => "tell",
        }
    }

    /// Whether a request behind such an answer was executed, unless the fault says otherwise.
    fn executes(&self) -> bool {
        match self {
            Self::Hang
            | Self::Slow
            | Self::Reset
            | Self::Close
            | Self::Garbage
            | Self::Truncate
            | Self::Empty
            | Self::WrongReference
            | Self::Compressed
            | Self::Trap => true,
            Self::Code(code) => code.is_pending(),
            Self::Refuse | Self::Html { .. } | Self::Raw { .. } | Self::Tell(_) => false,
        }
    }
}

/// What a status inquiry is to say, whatever the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Executed,
    Pending,
    Refunded,
    Cancelled,
    Failed,
    NotFound,
}

impl Told {
    const ALL: [Self; 6] = [
        Self::Executed,
        Self::Pending,
        Self::Refunded,
        Self::Cancelled,
        Self::Failed,
        Self::NotFound,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Pending => "pending",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::NotFound => "not-found",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|told| told.name() == name).ok_or_else(|| {
            format!("says: expected one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// Whom a fault hurts: everybody, or only one operation, one payment, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Only this operation.
    pub(super) operation: Option<Operation>,
    /// Only the payment with this reference, and what follows up on it; with `*` at its end, all
    /// whose references begin so.
    pub(super) reference: Option<String>,
}

impl Scope {
    /// Whether a request of this operation about this payment is hurt.
    pub(super) fn holds(&self, operation: Option<Operation>, reference: &str) -> bool {
        (self.operation.is_none() || self.operation == operation)
            && self.reference.as_deref().is_none_or(|own| match own.strip_suffix('*') {
                Some(front) => reference.starts_with(front),
                None => own == reference,
            })
    }

    /// Whether every request that `inner` hurts is one of this scope's.
    pub(super) fn covers(&self, inner: &Self) -> bool {
        (self.operation.is_none() || self.operation == inner.operation)
            && (self.reference.is_none() || self.reference == inner.reference)
    }

    /// Of two that hold, the one with more of it goes first; one payment is less than one
    /// operation.
    pub(super) fn narrowness(&self) -> (bool, bool) {
        (self.reference.is_some(), self.operation.is_some())
    }
}

/// One fault as it is in force at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) executes: bool,
    pub(super) delay: Duration,
    pub(super) heartbeats: bool,
    pub(super) scope: Scope,
    /// How many requests are still to be hurt; all when absent.
    pub(super) left: Option<u64>,
    /// Of so many requests one is hurt, the last of them.
    pub(super) every: u64,
    /// How many have come since one was hurt.
    pub(super) spared: u64,
}

impl Fault {
    pub(super) fn to_json(&self) -> Value {
        let mut fields = json!({
            "fault": self.kind.name(),
            "executes": self.executes,
            "heartbeats": self.heartbeats,
            "operation": self.scope.operation.map(Operation::name),
            "reference": self.scope.reference,
            "count": self.left,
            "every": self.every,
            "delay_ms": u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(fields) = fields.as_object_mut() {
            match &self.kind {
                Kind::Code(code) => {
                    fields.insert("code".to_owned(), code.written().into());
                }
                Kind::Html { status } => {
                    fields.insert("status".to_owned(), (*status).into());
                }
                Kind::Raw { status, body } => {
                    fields.insert("status".to_owned(), (*status).into());
                    fields.insert("body".to_owned(), body.clone().into());
                }
                Kind::Tell(told) => {
                    fields.insert("says".to_owned(), told.name().into());
                }
                Kind::Refuse
                | Kind::Hang
                | Kind::Slow
                | Kind::Reset
                | Kind::Close
                | Kind::Garbage
                | Kind::Truncate
                | Kind::Empty
                | Kind::WrongReference
                | Kind::Compressed
                | Kind::Trap => {}
            }
        }
        fields
    }
}

/// What a `POST` to a gateway's faults asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Hurt(Fault),
    /// Ends every fault within this scope.
    Heal(Scope),
}

impl Order {
    /// Reads the JSON of the control API; the error says what was expected.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("expected JSON: {error}"))?;
        let fields = value.as_object().ok_or("expected a JSON object")?;
        if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(format!("unknown field {unknown}: expected {}", FIELDS.join(", ")));
        }
        let scope = scope(fields)?;
        let name =
            string(fields, "fault")?.ok_or_else(|| format!("fault: expected one of {KINDS}"))?;
        if name == "none" {
            return Ok(Self::Heal(scope));
        }
        let kind = kind(name, fields)?;
        let left = number(fields, "count", u64::MAX)?;
        let delay = number(fields, "delay_ms", DELAY_MS_MAX)?;
        let heartbeats = boolean(fields, "heartbeats")?.unwrap_or(false);
        let every = number(fields, "every", 1_000_000)?.unwrap_or(1);
        for (field, number) in [("count", left), ("every", Some(every))] {
            if number == Some(0) {
                return Err(format!("{field}: expected at least 1"));
            }
        }
        if kind == Kind::Slow && delay.is_none() {
            return Err("delay_ms: a slow gateway needs it".to_owned());
        }
        let limited = left.is_some() || every > 1 || delay.is_some() || scope != Scope::default();
        if kind == Kind::Refuse && limited {
            let unseen = "count, every, operation, reference or delay_ms";
            return Err(format!("refuse: a closed socket cannot see {unseen}"));
        }
        if heartbeats && scope.reference.is_some() {
            return Err("heartbeats: they have no reference".to_owned());
        }
        if matches!(kind, Kind::Tell(_)) && scope.operation.and_then(inquired).is_none() {
            return Err(format!(
                "operation: tell is for a status inquiry, expected one of {}",
                INQUIRIES.map(Operation::name).join(", ")
            ));
        }
        Ok(Self::Hurt(Fault {
            executes: boolean(fields, "executes")?.unwrap_or_else(|| kind.executes()),
            heartbeats,
            delay: Duration::from_millis(delay.unwrap_or(0)),
            kind,
            scope,
            left,
            every,
            spared: 0,
        }))
    }
}

fn kind(name: &str, fields: &Map<String, Value>) -> Result<Kind, String> {
    let status = number(fields, "status", 599)?
        .map(|status| {
            u16::try_from(status)
                .ok()
                .filter(|status| *status >= 200)
                .ok_or("status: expected 200 to 599")
        })
        .transpose()?;
    Ok(match name {
        "refuse" => Kind::Refuse,
        "hang" => Kind::Hang,
        "slow" => Kind::Slow,
        "reset" => Kind::Reset,
        "close" => Kind::Close,
        "garbage" => Kind::Garbage,
        "truncate" => Kind::Truncate,
        "empty" => Kind::Empty,
        "html" => Kind::Html { status: status.unwrap_or(502) },
        "code" => {
            let text = string(fields, "code")?.unwrap_or_default();
            Kind::Code(
                Code::parse(text).ok_or_else(|| format!("code: expected {}", Code::EXPECTED))?,
            )
        }
        "raw" => Kind::Raw {
            status: status.unwrap_or(200),
            body: string(fields, "body")?.unwrap_or_default().to_owned(),
        },
        "wrong-reference" => Kind::WrongReference,
        "compressed" => Kind::Compressed,
        "trap" => Kind::Trap,
        "tell" => Kind::Tell(Told::parse(string(fields, "says")?.unwrap_or_default())?),
        other => return Err(format!("fault {other}: expected one of {KINDS}")),
    })
}

fn scope(fields: &Map<String, Value>) -> Result<Scope, String> {
    let operation = string(fields, "operation")?
        .map(|name| {
            Operation::of_name(name)
                .ok_or_else(|| format!("operation: expected one of {}", Operation::names()))
        })
        .transpose()?;
    let reference = string(fields, "reference")?;
    if reference.is_some_and(|text| text.is_empty() || text.len() > REFERENCE_BYTES_MAX) {
        return Err(format!("reference: expected 1 to {REFERENCE_BYTES_MAX} characters"));
    }
    Ok(Scope { operation, reference: reference.map(str::to_owned) })
}

fn string<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, String> {
    present(fields, field)
        .map(|value| value.as_str().ok_or_else(|| format!("{field}: expected a string")))
        .transpose()
}

fn boolean(fields: &Map<String, Value>, field: &str) -> Result<Option<bool>, String> {
    present(fields, field)
        .map(|value| value.as_bool().ok_or_else(|| format!("{field}: expected true or false")))
        .transpose()
}

fn number(fields: &Map<String, Value>, field: &str, max: u64) -> Result<Option<u64>, String> {
    present(fields, field)
        .map(|value| {
            value
                .as_u64()
                .filter(|number| *number <= max)
                .ok_or_else(|| format!("{field}: expected a whole number up to {max}"))
        })
        .transpose()
}

fn present<'a>(fields: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    fields.get(field).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hurt(json: &str) -> Fault {
        match Order::parse(json.as_bytes()).unwrap() {
            Order::Hurt(fault) => fault,
            Order::Heal(_) => panic!("expected a fault: {json}"),
        }
    }

    #[test]
    fn a_fault_executes_by_what_it_means_unless_told() {
        let cases = [
            (r#"{"fault":"hang"}"#, true),
            (r#"{"fault":"truncate"}"#, true),
            (r#"{"fault":"html"}"#, false),
            (r#"{"fault":"raw"}"#, false),
            (r#"{"fault":"code","code":"5005400"}"#, false),
            (r#"{"fault":"code","code":"500xx01"}"#, true),
            (r#"{"fault":"code","code":"2025400"}"#, true),
            (r#"{"fault":"code","code":"4295400"}"#, false),
            (r#"{"fault":"code","code":"504xx00"}"#, true),
            (r#"{"fault":"code","code":"504xx00","executes":false}"#, false),
            (r#"{"fault":"reset","executes":false}"#, false),
            (r#"{"fault":"trap"}"#, true),
            (r#"{"fault":"compressed"}"#, true),
        ];
        for (json, executes) in cases {
            assert_eq!(hurt(json).executes, executes, "{json}");
        }
    }

    #[test]
    fn a_wrong_order_is_told_what_was_expected() {
        let cases = [
            ("x", "expected JSON"),
            ("[]", "expected a JSON object"),
            ("{}", "fault: expected one of none, refuse"),
            (r#"{"fault":"x"}"#, "fault x: expected one of"),
            (r#"{"fault":"hang","counts":1}"#, "unknown field counts"),
            (r#"{"fault":"hang","count":0}"#, "count: expected at least 1"),
            (r#"{"fault":"hang","every":0}"#, "every: expected at least 1"),
            (r#"{"fault":"refuse","every":2}"#, "refuse: a closed socket"),
            (r#"{"fault":"hang","count":"1"}"#, "count: expected a whole number"),
            (r#"{"fault":"slow"}"#, "delay_ms"),
            (r#"{"fault":"code"}"#, "code: expected seven characters"),
            (r#"{"fault":"html","status":99}"#, "status: expected 200 to 599"),
            (r#"{"fault":"hang","operation":"pay"}"#, "operation: expected one of create-order"),
            (r#"{"fault":"refuse","count":1}"#, "refuse: a closed socket"),
            (r#"{"fault":"refuse","reference":"r"}"#, "refuse: a closed socket"),
            (r#"{"fault":"hang","reference":""}"#, "reference: expected 1 to 64"),
            (r#"{"fault":"hang","reference":7}"#, "reference: expected a string"),
            (r#"{"fault":"hang","reference":"r","heartbeats":true}"#, "heartbeats: they have no"),
            (r#"{"fault":"tell","operation":"order-status"}"#, "says: expected one of executed"),
            (r#"{"fault":"tell","says":"failed"}"#, "operation: tell is for a status inquiry"),
            (r#"{"fault":"tell","says":"failed","operation":"topup"}"#, "operation: tell is for"),
        ];
        for (json, expected) in cases {
            let error = Order::parse(json.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }
}
