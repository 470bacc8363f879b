//! The status as one page for people. It has no scripts and loads nothing. Every text is escaped, and
//! every state has a sign and a word besides its colour.

use super::doubt::{Doubt, grouped, letters};
use super::status::StatusReport;
use crate::engine::config::{Gateway, Policy};
use crate::engine::gateway::GatewayId;
use crate::engine::health::{
    Breaker, BreakerState, Member, Override, OverrideKind, Punctuality, Selection,
};
use crate::engine::limits;
use crate::engine::time::{Clock, Length, Millis};

pub(super) mod doubts;
mod frame;
mod html;
mod recent;
mod store;

use frame::{foot, head};
use html::{Html, Mark, WARNING};

/// The page.
pub(super) fn render(status: &StatusReport<'_>) -> String {
    let headline = headline(status);
    let mut html = Html::begin(&headline.title, true);
    head(&mut html, status, ", renewed every 5 s");
    html.raw("<main><div class=row>");
    choice(&mut html, status, &headline);
    money(&mut html, status);
    store::card(&mut html, status);
    html.raw("</div><div class=row>");
    for gateway in &status.policy.gateways {
        card(&mut html, status, gateway);
    }
    html.raw("</div>");
    overrides(&mut html, status);
    doubts::oldest(&mut html, status);
    recent::table(&mut html, status);
    html.raw("</main>");
    foot(&mut html, "GET /status");
    html.end()
}

/// Where new payments go, in a few words.
struct Headline {
    mark: Mark,
    sign: &'static str,
    text: String,
    /// The title of the page.
    title: String,
}

fn headline(status: &StatusReport<'_>) -> Headline {
    let Selection { order, trial } = status.selection();
    let gateway = status.active().or_else(|| order.first().copied());
    let Some(gateway) = gateway else {
        let text = "nowhere".to_owned();
        return Headline { mark: Mark::Bad, sign: Mark::Bad.sign(), title: text.clone(), text };
    };
    let is_first = status.policy.order().next() == Some(gateway);
    let (mark, sign) = match (status.is_usable(gateway), is_first && !trial) {
        (true, true) => (Mark::Good, Mark::Good.sign()),
        (true, false) => (Mark::Care, Mark::Care.sign()),
        (false, _) => (Mark::Bad, WARNING),
    };
    let text = status.name(gateway);
    let text = if status.active().is_none() { format!("{text}, on trial") } else { text };
    let refused = recent::mark(status).max(store::mark(status));
    let sign = if refused > mark { WARNING } else { sign };
    let is_refused = refused > Mark::Good;
    let title = if is_refused { format!("{text}, payments refused") } else { text.clone() };
    Headline { mark: mark.max(refused), sign, text, title }
}

/// Which gateway takes new payments, why, and since when.
fn choice(html: &mut Html, status: &StatusReport<'_>, headline: &Headline) {
    let Selection { order, trial } = status.selection();
    html.open(headline.mark);
    html.raw("<p class=dim>New payments go to</p><p class=big>");
    html.raw(headline.sign).text(&headline.text).raw("</p><p>").text(&status.why());
    html.raw("</p>");
    recent::refusals(html, status);
    if store::mark(status) > Mark::Good {
        html.raw("<p><strong>").raw(WARNING);
        html.raw("Payments are refused: see the claim store.</strong></p>");
    }
    html.raw("<p class=dim>");
    if let Some(since) = status.active_since() {
        let age = Length(status.now.since(since));
        html.text(&format!("For {age}, since {}. ", Clock(since, status.zone())));
    }
    match order.split_first() {
        None => html,
        Some((first, _)) if trial => {
            html.text(&format!("The next one is a trial of {}.", status.name(*first)))
        }
        Some((_, [])) => html.raw("Behind it is nobody."),
        Some((_, others)) => {
            let others: Vec<String> = others.iter().map(|id| status.name(*id)).collect();
            html.raw("Behind it: ").text(&others.join(", ")).raw(".")
        }
    }
    .raw("</p></section>");
}

/// How much money is in doubt, by the last census.
fn money(html: &mut Html, status: &StatusReport<'_>) {
    let Some(doubt) = &status.doubt else {
        html.open(Mark::Care);
        html.raw("<p class=dim>Money in doubt</p><p class=big>").raw(Mark::Care.sign());
        html.raw("not counted yet</p></section>");
        return;
    };
    let (census, states) = (doubt.census, &doubt.census.states);
    let is_old = doubt.age() > old(status.policy);
    let mark = match (states.in_doubt > 0 || states.unreadable > 0, is_old) {
        (true, _) => Mark::Bad,
        (false, true) => Mark::Care,
        (false, false) => Mark::Good,
    };
    html.open(mark);
    let sign = if states.in_doubt > 0 { WARNING } else { mark.sign() };
    html.raw("<p class=dim>Money in doubt</p><p class=big>").raw(sign);
    let sums = census.at_risk.iter().filter_map(|(currency, minor)| {
        letters(currency).map(|currency| format!("{currency}\u{a0}{}", grouped(*minor)))
    });
    let sums: Vec<String> = sums.collect();
    match (states.in_doubt, sums.is_empty()) {
        (0, _) => html.raw("none"),
        (_, true) => html.raw("unknown amount"),
        (_, false) => html.text(&sums.join(" + ")),
    };
    html.raw("</p><p>").text(&doubts(doubt));
    if states.in_doubt > 0 {
        html.raw(" <a href=in-doubt>See the list</a>");
    }
    html.raw("</p><p class=dim>");
    html.text(&format!("Counted within the last {}.", Length(doubt.age())));
    if is_old {
        html.raw(" \u{25b2} Nobody counts any more: the payments' filter is not at work.");
    }
    html.raw("</p></section>");
}

/// The age from which on a census is old: no worker counts any more. Just before a census ends, the
/// one before began two passes ago. A third pass is for workers that tick late.
fn old(policy: &Policy) -> Millis {
    let counts = policy.census_length().get().saturating_mul(3);
    Millis::new(counts.max(limits::CENSUS_OLD_MS_MIN))
}

/// The payments in doubt, in a sentence.
fn doubts(doubt: &Doubt<'_>) -> String {
    let (census, states) = (doubt.census, &doubt.census.states);
    let oldest = Length(doubt.oldest().unwrap_or_default());
    let mut text = match states.in_doubt {
        0 => "Every payment's outcome is known.".to_owned(),
        1 => format!("1 payment was sent {oldest} ago, and its outcome is not known."),
        count => format!(
            "{count} payments were sent, and their outcome is not known. The oldest is {oldest} old."
        ),
    };
    if census.unsummed > 0 {
        text.push_str(&format!(" Of {} the amount is not known.", census.unsummed));
    }
    if states.unreadable > 0 {
        text.push_str(&format!(" {} records cannot be read.", states.unreadable));
    }
    text
}

fn card(html: &mut Html, status: &StatusReport<'_>, gateway: &Gateway) {
    let member = status.member(gateway.id);
    let (mark, place) = place(status, gateway);
    html.open(mark);
    html.raw("<h2>").text(&gateway.name).raw("<span class=tag>");
    html.raw(mark.sign()).text(&place).raw("</span></h2><dl>");
    if let Some(hindrance) = status.hindrance(gateway.id) {
        html.pair("Why not", &hindrance);
    }
    if let Some(one) = status.override_of(gateway.id) {
        html.pair("Override", &format!("{}, {}", one.kind.name(), left(one, status)));
    }
    html.pair("Breaker", &breaker(status, gateway.id, &member.breaker));
    if let Some(cause) = status.cause(&member.breaker) {
        let at = member.breaker.since();
        let (age, at) = (Length(status.now.since(at)), Clock(at, status.zone()));
        html.pair("Last moved", &format!("{cause}; {age} ago, {at}"));
    }
    html.pair("Traffic", &traffic(status, &member.breaker));
    let (in_flight, max) =
        (status.in_flight(gateway.id), status.policy.health.breaker.in_flight_max);
    html.pair("Under way", &format!("{in_flight} (limit {max})"));
    html.pair("Heartbeat", &heartbeat(status, &member));
    html.pair("Cluster", &gateway.cluster).raw("</dl></section>");
}

/// What a gateway does for new payments.
fn place(status: &StatusReport<'_>, gateway: &Gateway) -> (Mark, String) {
    let selection = status.selection();
    let usable = status.is_usable(gateway.id);
    let kind = status.override_of(gateway.id).map(|one| one.kind);
    let (mark, place) = match selection.order.iter().position(|id| *id == gateway.id) {
        Some(0) if kind == Some(OverrideKind::Force) && !usable => {
            (Mark::Bad, "takes new payments, forced although not usable")
        }
        Some(0) if selection.trial => (Mark::Care, "takes trials"),
        Some(0) if kind == Some(OverrideKind::Force) => (Mark::Care, "takes new payments, forced"),
        Some(0) => (Mark::Good, "takes new payments"),
        Some(1) if selection.trial => (Mark::Good, "takes new payments"),
        Some(_) => (Mark::Good, "in reserve"),
        None if status.is_asked(gateway.id) => (Mark::Care, "takes questions, on trial"),
        None if status.member(gateway.id).barred.is_some() => (Mark::Bad, "barred"),
        None if kind == Some(OverrideKind::Drain) => (Mark::Care, "drained"),
        None if usable => (Mark::Care, "left out while another one is forced"),
        None => (Mark::Bad, "not usable"),
    };
    (mark, place.to_owned())
}

fn breaker(status: &StatusReport<'_>, gateway: GatewayId, breaker: &Breaker) -> String {
    let limits = &status.policy.health.breaker;
    match (breaker.state(), status.lacks(gateway)) {
        (BreakerState::Closed { .. }, _) => match status.selection().order.first() {
            Some(first) if *first == gateway => "\u{2714} closed: traffic flows".to_owned(),
            Some(_) | None if status.is_usable(gateway) => {
                "\u{2714} closed: traffic would flow".to_owned()
            }
            Some(_) | None => "\u{25b2} closed, but see above: no new payments come".to_owned(),
        },
        (BreakerState::Open { until }, _) if !breaker.may_try(status.now, limits) => {
            format!("\u{2716} open: no trial for {}", Length(until.since(status.now)))
        }
        (BreakerState::Open { .. }, Some(lack)) => {
            format!("\u{2716} open: the wait for a trial is over, but {lack}")
        }
        (BreakerState::Open { .. }, None)
            if status.is_asked(gateway) && !status.is_tried(gateway) =>
        {
            "\u{2716} open: the next question may be a trial".to_owned()
        }
        (BreakerState::Open { .. }, None) => {
            "\u{2716} open: the next payment may be a trial".to_owned()
        }
        (BreakerState::HalfOpen { out, passed, .. }, lack) => {
            let lack = lack.map_or_else(String::new, |lack| format!("; no further one: {lack}"));
            let permits = limits.half_open_permits;
            format!(
                "\u{25d0} half-open: {passed} of {permits} trials passed, {out} under way{lack}"
            )
        }
    }
}

fn traffic(status: &StatusReport<'_>, breaker: &Breaker) -> String {
    let limits = &status.policy.health.breaker;
    let seen = breaker.seen(status.now, limits);
    let moved_for = status.now.since(breaker.since());
    let span = match breaker.cause() {
        // Each move begins a new window.
        Some(_) if moved_for < limits.window => "since it last moved".to_owned(),
        Some(_) | None => format!("in {}", Length(limits.window)),
    };
    let calls = match seen.calls {
        0 => format!("no calls {span}"),
        1 => format!("1 call {span}: {} failed, {} slow", seen.failures, seen.slow),
        calls => format!("{calls} calls {span}: {} failed, {} slow", seen.failures, seen.slow),
    };
    let BreakerState::Closed { run: run @ 1.. } = breaker.state() else {
        return calls;
    };
    // A run may be older than the window.
    let before = if u32::from(run) > seen.failures { "with those before, " } else { "" };
    let failures = if run == 1 { "failure" } else { "failures" };
    let most = limits.consecutive_failures;
    format!("{calls}; {before}{run} {failures} in a row (limit {most})")
}

fn heartbeat(status: &StatusReport<'_>, member: &Member) -> String {
    let heartbeat = &member.heartbeat;
    let up = if heartbeat.is_up() { "\u{2714} up" } else { "\u{2716} down" };
    let punctual = match heartbeat.punctuality(status.now, &status.policy.health.heartbeat) {
        Punctuality::OnTime => "on time",
        Punctuality::Late => "late",
        Punctuality::Silent => "silent",
    };
    let last = match heartbeat.good_at() {
        Some(at) => format!("last good one {} ago", Length(status.now.since(at))),
        None => "never a good one".to_owned(),
    };
    format!("{up}, {punctual}; {last}")
}

fn overrides(html: &mut Html, status: &StatusReport<'_>) {
    let mut standing = status.overrides().peekable();
    if standing.peek().is_none() {
        return;
    }
    html.open(Mark::Care);
    html.raw("<h2>Overrides</h2>");
    let row = |one: &Override| {
        let kind = one.kind.name().to_owned();
        let (actor, reason) = (one.actor.clone(), one.reason.clone());
        vec![status.name(one.gateway), kind, left(one, status), actor, reason]
    };
    html.table(&["Gateway", "What", "Ends", "By", "Why"], standing.map(row));
    html.raw("</section>");
}

/// When an override ends, and how long that is from now.
fn left(one: &Override, status: &StatusReport<'_>) -> String {
    let left = Length(one.until.since(status.now));
    format!("until {}, {left} left", Clock(one.until, status.zone()))
}
