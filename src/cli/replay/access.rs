//! A line of the access log that `envoy/envoy.yaml` writes, judged again by the engine.
//!
//! The log holds what the judgement needs: Envoy's flags where there was no answer, the gateway's
//! response code where there was one, and otherwise the status. An answer with another payment's
//! reference is the one thing that it does not show.

use crate::engine::Policy;
use crate::engine::Signal;
use crate::engine::{Body, Class, Flags, Origin, Response, SnapCode, judge};

use super::line::{Fields, Mistake, Outcome, Record, mistake, named};

/// Envoy's short names of the flags that the engine tells apart. All others are alike to it.
const FLAGS: [(&str, u64); 6] =
    [("UH", 0x2), ("UF", 0x20), ("UO", 0x80), ("DC", 0x4000), ("URX", 0x8000), ("NC", 0x0100_0000)];
const OTHER_FLAG: u64 = 1 << 40;

/// What the `dana` member of a line says.
#[derive(Default)]
struct Note<'a> {
    decision: &'a str,
    operation: &'a str,
    gateway: &'a str,
    code: &'a str,
}

impl<'a> Note<'a> {
    fn read(text: &'a str) -> Self {
        let mut note = Self::default();
        for (name, value) in text.split(' ').filter_map(|part| part.split_once('=')) {
            match name {
                "decision" => note.decision = value,
                "operation" => note.operation = value,
                "gateway" => note.gateway = value,
                "code" => note.code = value,
                _ => {}
            }
        }
        note
    }
}

/// Reads the fields of a line.
pub(super) fn read(fields: &Fields<'_>, policy: &Policy) -> Result<Record, Mistake> {
    let note = Note::read(fields.dana.text("dana", "the filter's note")?);
    // The log's time is the request's beginning; the outcome is known at its end.
    let latency = fields.duration_ms.millis("duration_ms")?;
    let at = fields.time()?.plus(latency);
    let operation = policy.operations.iter().find(|one| one.operation.name == note.operation);
    let attempts = fields.attempts.as_number();
    // The filter's own answers ask no gateway.
    let (Some(operation), true) = (operation, attempts.is_none_or(|attempts| attempts > 0)) else {
        return Ok(Record::Nothing { at });
    };
    if note.gateway.is_empty() {
        return Ok(Record::Nothing { at });
    }
    let bits = flags(fields.flags.as_text().unwrap_or("-"));
    let status = fields.status.as_number().and_then(|status| u16::try_from(status).ok());
    let code = match note.code {
        "" => None,
        code => Some(
            SnapCode::parse(code)
                .ok_or_else(|| mistake("dana: code= with seven digits", note.code))?,
        ),
    };
    let body = code.map(|code| format!(r#"{{"responseCode":"{code}"}}"#)).unwrap_or_default();
    let attached = fields.connected.as_text().is_some_and(|address| address != "-");
    let evidence = Response {
        origin: match code {
            None if bits != 0 => Origin::Envoy { flags: Flags::new(bits), attached },
            Some(_) | None => Origin::Upstream,
        },
        status: code.map(|code| code.http).or(status).unwrap_or(0),
        body: Body::Complete(body.as_bytes()),
    };
    let signal = judge(policy.config.protocol, operation, None, &evidence).signal;
    let heard = evidence.origin.heard(latency);
    let is_new = operation.operation.class == Class::Charge && note.decision != "repeat";
    let mut tried = Vec::new();
    for name in note.gateway.split('+') {
        tried.push(named(name, policy)?);
    }
    // Of several that may have been meant, only a failure to reach any says something of each.
    let (Some(gateway), true) = (tried.pop(), tried.is_empty() || signal == Signal::Failure) else {
        return Ok(Record::Nothing { at });
    };
    let mut passed_over = tried;
    if let Some(before) =
        attempts.and_then(|attempts| usize::try_from(attempts).ok()?.checked_sub(1))
        && passed_over.is_empty()
        && before > 0
    {
        let cluster = fields.cluster.as_text();
        let fits = policy.composites.iter().find(|composite| {
            let position = composite.members.iter().position(|member| *member == gateway);
            position == Some(before)
                || Some(composite.cluster.as_str()) == cluster && position > Some(0)
        });
        let members = fits.into_iter().flat_map(|composite| &composite.members);
        passed_over = members.copied().take_while(|member| *member != gateway).collect();
    }
    let pinned = !is_new;
    Ok(Record::Outcome(Outcome { at, gateway, signal, latency, heard, pinned, passed_over }))
}

fn flags(text: &str) -> u64 {
    let known = |name: &str| FLAGS.iter().find(|(known, _)| *known == name);
    text.split(',')
        .filter(|name| !matches!(*name, "" | "-"))
        .map(|name| known(name).map_or(OTHER_FLAG, |(_, bit)| *bit))
        .fold(0, |bits, bit| bits | bit)
}
