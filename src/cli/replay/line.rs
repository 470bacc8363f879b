//! One line to one record: a recorded outcome, a heartbeat, or a line of the access log.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::engine::GatewayId;
use crate::engine::Policy;
use crate::engine::{Heard, Signal};
use crate::engine::{Millis, Timestamp};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{access, clock};

/// A call that takes longer was given up long before.
pub(super) const LATENCY_MS_MAX: u64 = 3_600_000;
/// Seconds in the place of milliseconds would be a moment in 1970.
const EARLIEST_MS: u64 = 946_684_800_000;
const LATEST_MS: u64 = 253_402_300_800_000;
const SHOWN_CHARS_MAX: usize = 60;

pub(super) const OUTCOMES: [(&str, Signal); 6] = [
    ("success", Signal::Success),
    ("failure", Signal::Failure),
    ("throttled", Signal::Throttled),
    ("alive", Signal::Alive),
    ("abandoned", Signal::Abandoned),
    ("neutral", Signal::Neutral),
];

/// What a line tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A call ended.
    Outcome(Outcome),
    /// A heartbeat ended.
    Heartbeat { at: Timestamp, gateway: GatewayId, good: bool },
    /// Nothing of any gateway: a request that was answered without asking one.
    Nothing { at: Timestamp },
    /// A line of the operators' listener.
    Operators,
}

/// The end of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) at: Timestamp,
    pub(super) gateway: GatewayId,
    pub(super) signal: Signal,
    pub(super) latency: Millis,
    pub(super) heard: Heard,
    /// It went where its payment is, and would have gone nowhere else.
    pub(super) pinned: bool,
    /// Tried before it, in the same request, and not connected to.
    pub(super) passed_over: Vec<GatewayId>,
}

/// What was wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(super) expected: String,
    pub(super) found: String,
}

pub(super) fn mistake(expected: impl Into<String>, found: &str) -> Mistake {
    let mut shown: String =
        found.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if found.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    Mistake { expected: expected.into(), found: shown }
}

/// Reads a line.
pub(super) fn parse(line: &[u8], policy: &Policy) -> Result<Record, Mistake> {
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| {
        let found = match std::str::from_utf8(line) {
            Ok(_) => error.to_string().replace(" at line 1 column ", " at column "),
            Err(error) => format!("bytes that are no UTF-8 after column {}", error.valid_up_to()),
        };
        mistake("a JSON object", &found)
    })?;
    if fields.dana.is_given() {
        return access::read(&fields, policy);
    }
    if fields.listener.is_given() && !fields.gateway.is_given() {
        return Ok(Record::Operators);
    }
    if fields.is_logged {
        // Envoy answered it by itself, before the filter saw it or when it had died.
        let latency = fields.duration_ms.millis("duration_ms")?;
        return Ok(Record::Nothing { at: fields.time()?.plus(latency) });
    }
    if let Some(unknown) = &fields.unknown {
        let known = "one of time, gateway, outcome, latency_ms, pinned, heartbeat";
        return Err(mistake(format!("{known} (or dana, in an access log)"), unknown));
    }
    let at = fields.time()?;
    let name = fields.gateway.text("gateway", "the name of a gateway")?;
    let gateway = named(name, policy)?;
    if fields.heartbeat.is_given() {
        let good = match fields.heartbeat.text("heartbeat", "good or bad")? {
            "good" => true,
            "bad" => false,
            other => return Err(mistake("heartbeat: good or bad", other)),
        };
        return Ok(Record::Heartbeat { at, gateway, good });
    }
    let expected = "success, failure, throttled, alive, abandoned or neutral";
    let word = fields.outcome.text("outcome", expected)?;
    let Some((_, signal)) = OUTCOMES.iter().find(|(name, _)| *name == word) else {
        return Err(mistake(format!("outcome: {expected}"), word));
    };
    let latency = fields.latency_ms.millis("latency_ms")?;
    let pinned = match (fields.pinned.is_given(), fields.pinned.as_flag()) {
        (false, _) => false,
        (true, Some(pinned)) => pinned,
        (true, None) => return Err(mistake("pinned: true or false", &fields.pinned.to_string())),
    };
    let (signal, passed_over) = (*signal, Vec::new());
    // Of other outcomes a line does not say whether anything was heard.
    let heard = match signal {
        Signal::Abandoned => Heard::Silence(latency),
        Signal::Neutral => Heard::Unsent,
        Signal::Success | Signal::Failure | Signal::Throttled | Signal::Alive => Heard::Answer,
    };
    Ok(Record::Outcome(Outcome { at, gateway, signal, latency, heard, pinned, passed_over }))
}

/// The gateway of a name.
pub(super) fn named(name: &str, policy: &Policy) -> Result<GatewayId, Mistake> {
    policy.named(name).map(|gateway| gateway.id).ok_or_else(|| {
        let names: Vec<&str> = policy.gateways.iter().map(|g| g.name.as_str()).collect();
        mistake(format!("gateway: one of {}", names.join(", ")), name)
    })
}

/// The members of a line that mean something.
#[derive(Default)]
pub(super) struct Fields<'a> {
    time: Scalar<'a>,
    gateway: Scalar<'a>,
    outcome: Scalar<'a>,
    latency_ms: Scalar<'a>,
    pinned: Scalar<'a>,
    heartbeat: Scalar<'a>,
    pub(super) dana: Scalar<'a>,
    /// Whether there is a member `dana`, and be it null: it is a line of an access log.
    is_logged: bool,
    /// Of which listener, where that is not the payments' one.
    listener: Scalar<'a>,
    pub(super) status: Scalar<'a>,
    pub(super) flags: Scalar<'a>,
    pub(super) duration_ms: Scalar<'a>,
    pub(super) cluster: Scalar<'a>,
    pub(super) attempts: Scalar<'a>,
    /// The address of the gateway, where there was a connection to it.
    pub(super) connected: Scalar<'a>,
    /// The first member that means nothing here.
    unknown: Option<String>,
}

impl Fields<'_> {
    pub(super) fn time(&self) -> Result<Timestamp, Mistake> {
        let expected = "time: RFC 3339, or milliseconds since 1970, from the year 2000 on";
        let time = match &self.time {
            Scalar::Text(text) => clock::parse(text),
            Scalar::Number(millis) => Some(Timestamp::from_millis(*millis)),
            Scalar::None | Scalar::Flag(_) | Scalar::Part(_) | Scalar::Other(_) => None,
        };
        time.filter(|time| (EARLIEST_MS..LATEST_MS).contains(&time.as_millis()))
            .ok_or_else(|| mistake(expected, &self.time.to_string()))
    }
}

/// A JSON value as far as a line may hold one.
#[derive(Debug, Default)]
pub(super) enum Scalar<'a> {
    /// Absent, or null.
    #[default]
    None,
    Flag(bool),
    Number(u64),
    Part(f64),
    Text(Cow<'a, str>),
    Other(&'static str),
}

impl Scalar<'_> {
    pub(super) const fn is_given(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::None | Self::Flag(_) | Self::Number(_) | Self::Part(_) | Self::Other(_) => None,
        }
    }

    const fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::None | Self::Number(_) | Self::Part(_) | Self::Text(_) | Self::Other(_) => None,
        }
    }

    pub(super) const fn as_number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::None | Self::Flag(_) | Self::Part(_) | Self::Text(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn text(&self, name: &str, expected: &str) -> Result<&str, Mistake> {
        self.as_text().ok_or_else(|| mistake(format!("{name}: {expected}"), &self.to_string()))
    }

    /// A length of time; none is none at all.
    pub(super) fn millis(&self, name: &str) -> Result<Millis, Mistake> {
        let millis = match self {
            Self::None => Some(0),
            Self::Number(millis) => Some(*millis),
            Self::Part(millis) => Duration::try_from_secs_f64(millis / 1000.0)
                .ok()
                .and_then(|length| u64::try_from(length.as_millis()).ok()),
            Self::Flag(_) | Self::Text(_) | Self::Other(_) => None,
        };
        millis.filter(|millis| *millis <= LATENCY_MS_MAX).map(Millis::new).ok_or_else(|| {
            let expected = format!("{name}: milliseconds, at most {LATENCY_MS_MAX}");
            mistake(expected, &self.to_string())
        })
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nothing"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Part(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::None)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Other("a negative number"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Part(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = members.next_key::<Scalar<'de>>()? {
            let name = name.as_text().ok_or_else(|| A::Error::custom("a member without a name"))?;
            let place = match name {
                "time" => &mut fields.time,
                "gateway" => &mut fields.gateway,
                "outcome" => &mut fields.outcome,
                "latency_ms" => &mut fields.latency_ms,
                "pinned" => &mut fields.pinned,
                "heartbeat" => &mut fields.heartbeat,
                "dana" => {
                    fields.is_logged = true;
                    &mut fields.dana
                }
                "listener" => &mut fields.listener,
                "status" => &mut fields.status,
                "flags" => &mut fields.flags,
                "duration_ms" => &mut fields.duration_ms,
                "cluster" => &mut fields.cluster,
                "attempts" => &mut fields.attempts,
                "connected" => &mut fields.connected,
                other => {
                    fields.unknown.get_or_insert_with(|| other.to_owned());
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = members.next_value()?;
        }
        Ok(fields)
    }
}
