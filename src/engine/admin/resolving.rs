//! What an operator found out about a payment in doubt, worked into its record.

use super::answer::{self, Problem};
use super::object::{Object, time};
use super::request::{ResolveRequest, ResolvedAs};
use super::resolve::{ResolveError, Resolved, resolve};
use super::{Admin, AdminEffect, AdminNext, AdminStage, again, doubt, end};
use crate::engine::config::Policy;
use crate::engine::event::Event;
use crate::engine::health::Health;
use crate::engine::payment::{Anomaly, ClaimState, Evidence, Resolution, Step};
use crate::engine::store::{Cell, Census, Layout, Loaded};
use crate::engine::time::{Leaps, Timestamp};

/// A resolution on its way into its bucket.
#[derive(Debug)]
pub(super) struct Resolving {
    word: ResolveRequest,
    resolution: Resolution,
    /// The bucket that holds the record, once that is known.
    bucket: Option<u32>,
    attempts: u8,
    written: Option<Resolved>,
    /// Where the clock leapt: read first, and no time in which a lease could end.
    leaps: Leaps,
}

impl Resolving {
    /// Begins with the bucket where the key says which it is, and else with the census, which
    /// lists it.
    pub(super) fn begin(word: ResolveRequest, policy: &Policy, layout: &Layout) -> AdminNext {
        let resolution = match &word.verdict {
            ResolvedAs::NotExecuted => Resolution::NotExecuted,
            // Of all names that were ever used: who holds it may no longer be configured.
            ResolvedAs::ExecutedAt(name) => match layout.find(name) {
                Some(gateway) => Resolution::ExecutedAt(gateway),
                None => return end(unknown_gateway(name, layout).reply()),
            },
        };
        let bucket = word.key.reference().map(|payment| policy.placement.bucket(payment));
        let leaps = Leaps::default();
        let resolving = Self { word, resolution, bucket, attempts: 0, written: None, leaps };
        (AdminStage::Resolving(Box::new(resolving)), vec![AdminEffect::Load(Cell::Health)])
    }
}

fn unknown_gateway(name: &str, layout: &Layout) -> Problem {
    let names = doubt::names(layout.gateways(), layout);
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    super::request::mistake("executed_at", &names.join(" or "), name)
}

impl Admin {
    pub(super) fn go_on_resolving(
        &self,
        mut resolving: Box<Resolving>,
        event: Event<'_>,
        now: Timestamp,
    ) -> AdminNext {
        let Some((policy, layout)) = self.joined.as_ref() else {
            return end(Problem::NotConfigured(None).reply());
        };
        let own = resolving.bucket.map(Cell::Claims);
        match (event, resolving.written.take()) {
            (Event::Loaded(Cell::Health, loaded), _) => {
                resolving.leaps = Health::decode(&loaded.bytes).leaps_unticked(&policy.health, now);
                let cell = own.unwrap_or(Cell::Census);
                (AdminStage::Resolving(resolving), vec![AdminEffect::Load(cell)])
            }
            (Event::Loaded(Cell::Census, loaded), _) if own.is_none() => {
                find(resolving, &loaded.bytes)
            }
            (Event::Loaded(cell, loaded), _) if own == Some(cell) => {
                work_in(resolving, cell, loaded, policy, layout, now)
            }
            (Event::Stored(cell), Some(resolved)) if own == Some(cell) => {
                told(&resolving.word, resolving.resolution, &resolved, layout, now)
            }
            (Event::Conflict(cell), _) if own == Some(cell) => {
                resolving.attempts = resolving.attempts.saturating_add(1);
                again(resolving.attempts, cell, AdminStage::Resolving(resolving))
            }
            _ => end(Problem::StoreFailed.reply()),
        }
    }
}

/// Looks a key up that is too short to say by itself where its record is.
fn find(mut resolving: Box<Resolving>, census: &[u8]) -> AdminNext {
    let census = Census::decode(census).unwrap_or_default();
    let key = resolving.word.key;
    let mut listed = census.find_front(&key);
    match (listed.next(), listed.next()) {
        (Some(only), None) => {
            let bucket = only.bucket;
            resolving.bucket = Some(bucket);
            (AdminStage::Resolving(resolving), vec![AdminEffect::Load(Cell::Claims(bucket))])
        }
        (Some(_), Some(_)) => end(Problem::Resolution(ResolveError::Ambiguous).reply()),
        (None, _) => end(Problem::NotListed.reply()),
    }
}

fn work_in(
    mut resolving: Box<Resolving>,
    cell: Cell,
    loaded: Loaded,
    policy: &Policy,
    layout: &Layout,
    now: Timestamp,
) -> AdminNext {
    let Loaded { bytes, version } = loaded;
    let (key, rules) = (&resolving.word.key, &policy.claims);
    match resolve(bytes, key, resolving.resolution, &resolving.leaps, now, rules) {
        Ok(mut resolved) => {
            let bytes = std::mem::take(&mut resolved.bytes);
            resolving.written = Some(resolved);
            let store = AdminEffect::Store { cell, bytes, expected: version };
            (AdminStage::Resolving(resolving), vec![store])
        }
        // As often as it is said: whoever missed the answer may say it again.
        Err(ResolveError::AlreadySo(state)) => {
            let body = Object::new()
                .with("now", time(now))
                .with("changed", false)
                .with("overturned", false)
                .with("before", describe(state, layout))
                .with("after", describe(state, layout));
            end(answer::json(&body, "resolve"))
        }
        Err(refused) => end(Problem::Resolution(refused).reply()),
    }
}

fn told(
    word: &ResolveRequest,
    resolution: Resolution,
    resolved: &Resolved,
    layout: &Layout,
    now: Timestamp,
) -> AdminNext {
    let Resolved { key, before, after, overturned, claim, .. } = resolved;
    let ResolveRequest { evidence, reason, actor, .. } = word;
    let what = Object::new()
        .with("key", doubt::hex(key))
        .with("before", describe(*before, layout))
        .with("after", describe(*after, layout))
        .with("overturned", *overturned)
        .with("claimed_at", time(claim.incarnation.claimed_at));
    let what = doubt::with_money(what, &claim.money);
    let line = what.clone();
    let line = line
        .with("evidence", evidence.as_str())
        .with("reason", reason.as_str())
        .with("actor", actor.as_str());
    let body = what.with("now", time(now)).with("changed", true);
    let reply = answer::json(&body, "resolve");
    let mut effects = vec![AdminEffect::Told(format!("resolve {line}"))];
    if *overturned {
        let (said, step) = (Evidence::Operator(resolution), Step::Overturned(*after));
        let anomaly = Anomaly::of(doubt::hex(key), *before, said, step);
        effects.extend(anomaly.map(AdminEffect::Anomaly));
    }
    effects.push(AdminEffect::Reply(reply));
    (AdminStage::Ended, effects)
}

fn describe(state: ClaimState, layout: &Layout) -> Object {
    let how = if let ClaimState::Closed { how, .. } = state { Some(how.name()) } else { None };
    Object::new()
        .with("state", state.name())
        .with("how", how)
        .with("gateways", doubt::names(state.holders(), layout))
}
