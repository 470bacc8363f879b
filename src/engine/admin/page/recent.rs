//! What happened lately: refusals and switches.

use super::html::{Html, Mark};
use crate::engine::admin::status::StatusReport;
use crate::engine::health::{RefusalRun, Why};
use crate::engine::time::{Clock, Length};

/// How bad it is that payments are refused now.
pub(super) fn mark(status: &StatusReport<'_>) -> Mark {
    status.refused_now().map(|(why, _)| of(why)).max().unwrap_or(Mark::Good)
}

const fn of(why: Why) -> Mark {
    match why {
        Why::NoGateway | Why::StoreFull => Mark::Bad,
        Why::PinnedGatewayDown | Why::NeverSent => Mark::Care,
    }
}

/// What is refused now, since when and how many, as sentences.
pub(super) fn refusals(html: &mut Html, status: &StatusReport<'_>) {
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

fn counted(run: &RefusalRun) -> String {
    match run.requests {
        1 => "1 request was refused".to_owned(),
        requests => format!("{requests} requests were refused"),
    }
}

/// The table of switches, the last one first, and of refusals that are over.
pub(super) fn table(html: &mut Html, status: &StatusReport<'_>) {
    let history = status.health.history();
    let over = history.refusals().filter(|(_, run)| !run.is_recent(status.now));
    let over: Vec<(Why, RefusalRun)> = over.collect();
    let switches = history.switches();
    if switches.is_empty() && over.is_empty() {
        return;
    }
    html.open(Mark::Good).raw("<h2>Lately</h2>");
    if !switches.is_empty() {
        let row = |one: &crate::engine::health::Switched| {
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
