//! What happened lately: refusals and switches.

use super::html::{Html, Mark};
use crate::engine::admin::status::Status;
use crate::engine::health::history::{Refused, Why};
use crate::engine::time::Length;
use crate::engine::time::zone::Clock;

/// How bad it is that payments are refused now.
pub(super) fn mark(status: &Status<'_>) -> Mark {
    status.refused_now().map(|(why, _)| of(why)).max().unwrap_or(Mark::Good)
}

const fn of(why: Why) -> Mark {
    match why {
        Why::NoGateway | Why::StoreFull => Mark::Bad,
        Why::PinnedGatewayDown | Why::NeverSent => Mark::Care,
    }
}

/// What is refused now, since when and how many, as sentences.
pub(super) fn refusals(html: &mut Html, status: &Status<'_>) {
    for (why, run) in status.refused_now() {
        html.raw("<p><strong>").raw(of(why).sign());
        html.text(&format!("{}: {}.", counted(&run), why.sentence())).raw("</strong> ");
        html.text(&format!(
            "Since {}, the last one {} ago.",
            Clock(run.since, status.zone()),
            Length(status.now.since(run.last))
        ));
        html.raw("</p>");
    }
}

fn counted(run: &Refused) -> String {
    match run.requests {
        1 => "1 request was refused".to_owned(),
        requests => format!("{requests} requests were refused"),
    }
}

/// The table of switches, the last one first, and of refusals that are over.
pub(super) fn table(html: &mut Html, status: &Status<'_>) {
    let chronicle = status.health.chronicle();
    let over = chronicle.refusals().filter(|(_, run)| !run.is_recent(status.now));
    let over: Vec<(Why, Refused)> = over.collect();
    let switches = chronicle.switches();
    if switches.is_empty() && over.is_empty() {
        return;
    }
    html.open(Mark::Good).raw("<h2>Lately</h2>");
    if !switches.is_empty() {
        let row = |one: &crate::engine::health::history::Switched| {
            let age = Length(status.now.since(one.at));
            let when = format!("{}, {age} ago", Clock(one.at, status.zone()));
            let names = [one.from, one.to].map(|gateway| status.any_name(gateway));
            vec![when, names.join(" \u{2192} "), one.cause.name().to_owned()]
        };
        html.table(&["When", "Switch", "Kind"], switches.iter().rev().map(row));
    }
    for (why, run) in over {
        let (since, last) = (Clock(run.since, status.zone()), Clock(run.last, status.zone()));
        let text = format!("{} from {since} to {last}: {}.", counted(&run), why.sentence());
        html.raw("<p class=dim>").text(&text).raw("</p>");
    }
    html.raw("</section>");
}
