//! The status as one page for people: no scripts, nothing loaded from elsewhere, every text
//! escaped, and every state told by a sign and a word as well as by its colour.

use super::doubt::{Doubt, grouped, letters};
use super::status::{Status, VERSION};
use crate::engine::breaker::{Breaker, State};
use crate::engine::gateway::GatewayId;
use crate::engine::health::{Member, Takers};
use crate::engine::heartbeat::Punctuality;
use crate::engine::limits;
use crate::engine::overrides::{Override, Steer};
use crate::engine::policy::{Gateway, Policy};
use crate::engine::time::{Length, Millis, Timestamp, Utc};

const STYLE: &str = include_str!("page.css");

/// Something that a person has to look at.
const WARNING: &str = "\u{26a0}\u{fe0e} ";

/// A page being written.
struct Html(String);

impl Html {
    /// Adds markup.
    fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, which may be anything.
    fn text(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                char => self.0.push(char),
            }
        }
        self
    }

    /// Adds a name and what there is to say of it.
    fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw("<dt>").text(name).raw("<dd>").text(value)
    }
}

/// How good a state is.
#[derive(Clone, Copy)]
enum Mark {
    Good,
    Care,
    Bad,
}

impl Mark {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Care => "care",
            Self::Bad => "bad",
        }
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::Good => "\u{2714} ",
            Self::Care => "\u{25b2} ",
            Self::Bad => "\u{2716} ",
        }
    }
}

/// The page.
pub(super) fn render(status: &Status<'_>) -> String {
    let mut html = Html(String::with_capacity(8192));
    let headline = headline(status);
    html.raw(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=refresh content=5><title>",
    );
    html.text(&headline.text).raw(" \u{b7} DANA payments</title><style>").raw(STYLE);
    html.raw("</style><header><h1>DANA payments</h1><small>").text(&clock(status.now));
    html.raw(", renewed every 5 s</small></header><main><div class=row>");
    choice(&mut html, status, &headline);
    money(&mut html, status);
    html.raw("</div><div class=row>");
    for gateway in &status.policy.gateways {
        card(&mut html, status, gateway);
    }
    html.raw("</div>");
    overrides(&mut html, status);
    html.raw("</main><footer><span>dana-failover ").text(VERSION);
    html.raw("</span><span>The same for machines: GET /status</span></footer></html>\n");
    html.0
}

/// Where new payments go, in a few words.
struct Headline {
    mark: Mark,
    sign: &'static str,
    text: String,
}

fn headline(status: &Status<'_>) -> Headline {
    let Takers { order, trial } = status.takers();
    let gateway = status.active().or_else(|| order.first().copied());
    let Some(gateway) = gateway else {
        let text = "nowhere".to_owned();
        return Headline { mark: Mark::Bad, sign: Mark::Bad.sign(), text };
    };
    let is_first = status.policy.order().next() == Some(gateway);
    let (mark, sign) = match (status.is_usable(gateway), is_first && !trial) {
        (true, true) => (Mark::Good, Mark::Good.sign()),
        (true, false) => (Mark::Care, Mark::Care.sign()),
        (false, _) => (Mark::Bad, WARNING),
    };
    let text = status.name(gateway);
    let text = if status.active().is_none() { format!("{text}, on trial") } else { text };
    Headline { mark, sign, text }
}

/// Who takes payments now, why, and since when.
fn choice(html: &mut Html, status: &Status<'_>, headline: &Headline) {
    let Takers { order, trial } = status.takers();
    open(html, headline.mark);
    html.raw("<p class=dim>New payments go to</p><p class=big>");
    html.raw(headline.sign).text(&headline.text).raw("</p><p>").text(&status.why());
    html.raw("</p><p class=dim>");
    if let Some(since) = status.active_since() {
        let age = Length(status.now.since(since));
        html.text(&format!("For {age}, since {}. ", clock(since)));
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

/// How much money nobody knows the outcome of, as far as it was counted.
fn money(html: &mut Html, status: &Status<'_>) {
    let Some(doubt) = &status.doubt else {
        open(html, Mark::Care);
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
    open(html, mark);
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
    let (fill, age) = (census.fill_pct(), Length(doubt.age()));
    html.text(&format!("Counted within the last {age}. The store is {fill}% full."));
    if is_old {
        html.raw(" \u{25b2} Nobody counts any more: the payments' filter is not at work.");
    }
    html.raw("</p></section>");
}

/// From which age on a census says that nobody counts any more. Just before the next one ends the
/// last one began two counts ago; a third is for workers that tick late.
fn old(policy: &Policy) -> Millis {
    let counts = policy.census_length().get().saturating_mul(3);
    Millis::new(counts).max(limits::CENSUS_OLD_MIN)
}

/// The payments in doubt, in a sentence.
fn doubts(doubt: &Doubt<'_>) -> String {
    let (census, states) = (doubt.census, &doubt.census.states);
    let oldest = Length(doubt.oldest().unwrap_or_default());
    let mut told = match states.in_doubt {
        0 => "Every payment's outcome is known.".to_owned(),
        1 => format!("1 payment was sent {oldest} ago, and its outcome is not known."),
        count => format!(
            "{count} payments were sent, and their outcome is not known. The oldest is {oldest} old."
        ),
    };
    if census.unsummed > 0 {
        told.push_str(&format!(" Of {} the amount is not known.", census.unsummed));
    }
    if states.unreadable > 0 {
        told.push_str(&format!(" {} records cannot be read.", states.unreadable));
    }
    told
}

fn card(html: &mut Html, status: &Status<'_>, gateway: &Gateway) {
    let member = status.member(gateway.id);
    let (mark, place) = place(status, gateway);
    open(html, mark);
    html.raw("<h2>").text(&gateway.name).raw("<span class=tag>");
    html.raw(mark.sign()).text(&place).raw("</span></h2><dl>");
    if let Some(hindrance) = status.hindrance(gateway.id) {
        html.pair("Why not", &hindrance);
    }
    if let Some(one) = status.override_of(gateway.id) {
        html.pair("Override", &format!("{}, {}", one.steer.name(), left(one, status.now)));
    }
    html.pair("Breaker", &breaker(status, gateway.id, &member.breaker));
    if let Some(cause) = status.cause(&member.breaker) {
        let at = member.breaker.since();
        let (age, at) = (Length(status.now.since(at)), clock(at));
        html.pair("Last moved", &format!("{cause}; {age} ago, {at}"));
    }
    html.pair("Traffic", &traffic(status, &member.breaker));
    let (in_flight, max) = (status.in_flight(gateway.id), status.policy.breaker.in_flight_max);
    html.pair("Under way", &format!("{in_flight} (limit {max})"));
    html.pair("Heartbeat", &heartbeat(status, &member));
    html.pair("Cluster", &gateway.cluster).raw("</dl></section>");
}

/// A gateway's part in new payments.
fn place(status: &Status<'_>, gateway: &Gateway) -> (Mark, String) {
    let takers = status.takers();
    let usable = status.is_usable(gateway.id);
    let steer = status.override_of(gateway.id).map(|one| one.steer);
    let (mark, place) = match takers.order.iter().position(|id| *id == gateway.id) {
        Some(0) if steer == Some(Steer::Force) && !usable => {
            (Mark::Bad, "takes new payments, forced although not usable")
        }
        Some(0) if takers.trial => (Mark::Care, "takes trials"),
        Some(0) if steer == Some(Steer::Force) => (Mark::Care, "takes new payments, forced"),
        Some(0) => (Mark::Good, "takes new payments"),
        Some(1) if takers.trial => (Mark::Good, "takes new payments"),
        Some(_) => (Mark::Good, "in reserve"),
        None if status.is_asked(gateway.id) => (Mark::Care, "takes questions, on trial"),
        None if status.member(gateway.id).barred.is_some() => (Mark::Bad, "barred"),
        None if steer == Some(Steer::Drain) => (Mark::Care, "drained"),
        None if usable => (Mark::Care, "left out while another one is forced"),
        None => (Mark::Bad, "not usable"),
    };
    (mark, place.to_owned())
}

fn breaker(status: &Status<'_>, gateway: GatewayId, breaker: &Breaker) -> String {
    let limits = &status.policy.breaker;
    match (breaker.state(), status.lacks(gateway)) {
        (State::Closed { .. }, _) => "\u{2714} closed: traffic flows".to_owned(),
        (State::Open { until }, _) if !breaker.may_try(status.now, limits) => {
            format!("\u{2716} open: no trial for {}", Length(until.since(status.now)))
        }
        (State::Open { .. }, Some(lack)) => {
            format!("\u{2716} open: the wait for a trial is over, but {lack}")
        }
        (State::Open { .. }, None) if status.is_asked(gateway) && !status.is_tried(gateway) => {
            "\u{2716} open: the next question may be a trial".to_owned()
        }
        (State::Open { .. }, None) => "\u{2716} open: the next payment may be a trial".to_owned(),
        (State::HalfOpen { out, passed, .. }, lack) => {
            let lack = lack.map_or_else(String::new, |lack| format!("; no further one: {lack}"));
            let permits = limits.half_open_permits;
            format!(
                "\u{25d0} half-open: {passed} of {permits} trials passed, {out} under way{lack}"
            )
        }
    }
}

fn traffic(status: &Status<'_>, breaker: &Breaker) -> String {
    let limits = &status.policy.breaker;
    let seen = breaker.seen(status.now, limits);
    let (calls, failures, slow) = (seen.calls, seen.failures, seen.slow);
    let window = Length(limits.window);
    let run = match breaker.state() {
        State::Closed { run: run @ 1.. } => {
            format!("; {run} failures in a row (limit {})", limits.consecutive_failures)
        }
        State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => String::new(),
    };
    format!("{calls} calls in {window}: {failures} failed, {slow} slow{run}")
}

fn heartbeat(status: &Status<'_>, member: &Member) -> String {
    let heartbeat = &member.heartbeat;
    let up = if heartbeat.is_up() { "\u{2714} up" } else { "\u{2716} down" };
    let punctual = match heartbeat.punctuality(status.now, &status.policy.heartbeat) {
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

fn overrides(html: &mut Html, status: &Status<'_>) {
    let mut standing = status.overrides().peekable();
    if standing.peek().is_none() {
        return;
    }
    open(html, Mark::Care);
    html.raw("<h2>Overrides</h2><table><tr><th>Gateway<th>What<th>Ends<th>By<th>Why</tr>");
    for one in standing {
        let cells = [
            ("Gateway", status.name(one.gateway)),
            ("What", one.steer.name().to_owned()),
            ("Ends", left(one, status.now)),
            ("By", one.actor.clone()),
            ("Why", one.reason.clone()),
        ];
        html.raw("<tr>");
        for (name, value) in cells {
            html.raw("<td data-name=").raw(name).raw(">").text(&value);
        }
        html.raw("</tr>");
    }
    html.raw("</table></section>");
}

fn open(html: &mut Html, mark: Mark) {
    html.raw("<section class=").raw(mark.class()).raw(">");
}

/// Until when an override stands, and how long that is.
fn left(one: &Override, now: Timestamp) -> String {
    format!("until {}, {} left", clock(one.until), Length(one.until.since(now)))
}

/// To the second: `2026-11-22 16:17:39 UTC`.
fn clock(at: Timestamp) -> String {
    let text = Utc(at).to_string();
    let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
    let second = rest.split('.').next().unwrap_or_default();
    format!("{day} {second} UTC")
}
