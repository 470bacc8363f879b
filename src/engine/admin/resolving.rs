//! What an operator found out about a payment in doubt, worked into its record.

use super::answer::{self, Problem};
use super::doubt;
use super::object::{Object, time};
use super::realm::RealmProblem;
use super::request::{ResolveRequest, ResolvedAs};
use super::resolve::{ResolveError, Resolved, resolve};
use super::status::View;
use super::turn::Turn;
use crate::engine::audit::AuditEntry;
use crate::engine::codec::hex;
use crate::engine::event::{AdminEffect, with_money};
use crate::engine::payment::{Anomaly, ClaimState, Evidence, KeyPrefix, Resolution, Step};
use crate::engine::store::{Entry, Found, Layout, OperatorEvent, OperatorRequest};
use crate::engine::time::Leaps;

/// A resolution on its way into its record.
#[derive(Debug)]
pub(super) struct Resolving {
    request: ResolveRequest,
    resolution: Resolution,
    attempts: u8,
    written: Option<Resolved>,
    /// Where the clock leapt: read first, and no time in which a lease could end.
    leaps: Leaps,
}

impl Resolving {
    pub(super) fn begin(request: ResolveRequest, layout: &Layout) -> Turn<Self> {
        let resolution = match &request.verdict {
            ResolvedAs::NotExecuted => Resolution::NotExecuted,
            // Of all names that were ever used: who holds it may no longer be configured.
            ResolvedAs::ExecutedAt(name) => match layout.find(name) {
                Some(gateway) => Resolution::ExecutedAt(gateway),
                None => return Turn::end(unknown_gateway(name, layout).reply()),
            },
        };
        let leaps = Leaps::default();
        let resolving = Self { request, resolution, attempts: 0, written: None, leaps };
        Turn::Ask(resolving, OperatorRequest::Health)
    }

    pub(super) fn go_on(mut self, view: View<'_>, event: OperatorEvent) -> Turn<Self> {
        let find = OperatorRequest::Find(self.request.key);
        match (event, self.written.take()) {
            (OperatorEvent::Health(health, _), _) => {
                let health = health.unwrap_or_default();
                self.leaps = health.leaps_unticked(&view.policy.health, view.now);
                Turn::Ask(self, find)
            }
            (OperatorEvent::Found(Found::NotListed), _) => Turn::end(Problem::NotListed.reply()),
            (OperatorEvent::Found(Found::Several), _) => refused(ResolveError::Ambiguous),
            (OperatorEvent::Found(Found::Unreadable), _) => unreadable(view),
            (OperatorEvent::Found(Found::NotJoined), _) => realm(RealmProblem::NotJoined),
            (OperatorEvent::Found(Found::Records(found)), _) => self.work_in(view, &found),
            (OperatorEvent::Written, Some(resolved)) => {
                told(&self.request, self.resolution, &resolved, view)
            }
            (OperatorEvent::Conflict, _) => {
                self.attempts = self.attempts.saturating_add(1);
                Turn::again(self.attempts, self, find)
            }
            (OperatorEvent::Unavailable, _) => realm(RealmProblem::Away),
            // It may be written, and then nobody says so later.
            (OperatorEvent::Failed, Some(resolved)) if is_in_etcd(view) => {
                let line = line(&self.request, &resolved, view).with("unclear", true);
                let line = format!("resolve {line}");
                let entry = entry(&self.request, &resolved, view).text("do", "unclear");
                let reply = Problem::Realm(RealmProblem::Unclear).reply();
                Turn::End(vec![AdminEffect::Told { line, entry }, AdminEffect::Reply(reply)])
            }
            _ => Turn::end(Problem::StoreFailed.reply()),
        }
    }

    fn work_in(mut self, view: View<'_>, found: &[(KeyPrefix, Entry)]) -> Turn<Self> {
        let View { policy, layout, now, .. } = view;
        match resolve(found, self.resolution, &self.leaps, now, &policy.claims) {
            Ok(resolved) => {
                let replace = OperatorRequest::Replace(resolved.key, Box::new(resolved.claim));
                self.written = Some(resolved);
                Turn::Ask(self, replace)
            }
            // As often as it is said: whoever missed the answer may say it again.
            Err(ResolveError::AlreadySo(state)) => {
                let body = Object::new()
                    .with("now", time(now))
                    .with("changed", false)
                    .with("overturned", false)
                    .with("before", describe(state, layout))
                    .with("after", describe(state, layout));
                Turn::end(answer::json(&body, "resolve"))
            }
            Err(ResolveError::Unreadable) => unreadable(view),
            Err(error) => refused(error),
        }
    }
}

const fn is_in_etcd(view: View<'_>) -> bool {
    view.policy.config.store.etcd().is_some()
}

fn unreadable<T>(view: View<'_>) -> Turn<T> {
    if is_in_etcd(view) {
        return realm(RealmProblem::Unreadable);
    }
    refused(ResolveError::Unreadable)
}

fn realm<T>(problem: RealmProblem) -> Turn<T> {
    Turn::end(Problem::Realm(problem).reply())
}

fn refused<T>(error: ResolveError) -> Turn<T> {
    Turn::end(Problem::Resolution(error).reply())
}

fn unknown_gateway(name: &str, layout: &Layout) -> Problem {
    let names = doubt::names(layout.gateways(), layout);
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    super::request::mistake("executed_at", &names.join(" or "), name)
}

/// What becomes of which payment.
fn what(resolved: &Resolved, layout: &Layout) -> Object {
    let Resolved { key, before, after, overturned, claim, .. } = resolved;
    let what = Object::new()
        .with("key", hex(key))
        .with("before", describe(*before, layout))
        .with("after", describe(*after, layout))
        .with("overturned", *overturned)
        .with("claimed_at", time(claim.incarnation.claimed_at));
    doubt::with_money(what, &claim.money)
}

/// The same for the log, and who says so.
fn line(request: &ResolveRequest, resolved: &Resolved, view: View<'_>) -> Object {
    let ResolveRequest { evidence, reason, actor, .. } = request;
    what(resolved, view.layout)
        .with("evidence", evidence.as_str())
        .with("reason", reason.as_str())
        .with("actor", actor.as_str())
}

/// The same for the audit trail.
fn entry(request: &ResolveRequest, resolved: &Resolved, view: View<'_>) -> AuditEntry {
    let Resolved { key, before, after, claim, .. } = resolved;
    with_money(AuditEntry::new("resolve", view.now).text("key", &hex(key)), &claim.money)
        .text("was", before.name())
        .text("claim", after.name())
        .text("gw", &doubt::names(after.holders(), view.layout).join("+"))
        .text("evidence", &request.evidence)
        .text("who", &request.actor)
        .text("why", &request.reason)
}

fn told<T>(
    request: &ResolveRequest,
    resolution: Resolution,
    resolved: &Resolved,
    view: View<'_>,
) -> Turn<T> {
    let Resolved { key, before, after, overturned, .. } = resolved;
    let body = what(resolved, view.layout).with("now", time(view.now)).with("changed", true);
    let reply = answer::json(&body, "resolve");
    let line = format!("resolve {}", line(request, resolved, view));
    let entry = entry(request, resolved, view);
    let mut effects = vec![AdminEffect::Told { line, entry }];
    if *overturned {
        let (said, step) = (Evidence::Operator(resolution), Step::Overturned(*after));
        let anomaly = Anomaly::of(hex(key), *before, said, step, &view.policy.claims);
        effects.extend(anomaly.map(AdminEffect::Anomaly));
    }
    effects.extend(resolved.doubts.into_iter().flatten().map(AdminEffect::Doubt));
    effects.push(AdminEffect::Reply(reply));
    Turn::End(effects)
}

fn describe(state: ClaimState, layout: &Layout) -> Object {
    let how = if let ClaimState::Closed { how, .. } = state { Some(how.name()) } else { None };
    Object::new()
        .with("state", state.name())
        .with("how", how)
        .with("gateways", doubt::names(state.holders(), layout))
}
