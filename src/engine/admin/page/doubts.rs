//! Payments in doubt: a list, with the commands that resolve each of them.

use super::frame::{foot, head};
use super::html::{Html, Mark, WARNING};
use crate::engine::admin::doubt::{Doubt, grouped, letters, names};
use crate::engine::admin::status::StatusReport;
use crate::engine::codec::hex;
use crate::engine::limits;
use crate::engine::store::InDoubt;
use crate::engine::time::{Clock, Length, Timestamp};

const FACTS: [&str; 5] = ["Sent", "Amount", "May be at", "Key", "Attempts"];

/// The oldest ones, on the main page.
pub(super) fn oldest(html: &mut Html, status: &StatusReport<'_>) {
    let Some(doubt) = status.doubt.filter(|doubt| !doubt.census.oldest.is_empty()) else {
        return;
    };
    html.open(Mark::Bad).raw("<h2>Oldest payments in doubt</h2>");
    let shown = doubt.census.oldest.iter().take(limits::IN_DOUBT_ON_PAGE);
    html.table(&FACTS, shown.map(|one| facts(status, one).into()));
    html.raw("<p><a href=in-doubt>All of them, with the commands that end each doubt</a></p>");
    html.raw("</section>");
}

/// The page of all listed payments in doubt, up to `limit`.
pub(in crate::engine::admin) fn render(
    status: &StatusReport<'_>,
    doubt: &Doubt<'_>,
    limit: usize,
) -> String {
    let all = doubt.census.states.in_doubt;
    let mut html = Html::begin(&format!("{all} in doubt"), false);
    head(&mut html, status, "");
    html.raw("<main><p><a href=/>\u{2190} All of it</a></p>");
    let (mark, sign) = if all > 0 { (Mark::Bad, WARNING) } else { (Mark::Good, Mark::Good.sign()) };
    html.open(mark).raw("<p class=dim>Payments in doubt</p><p class=big>").raw(sign);
    html.text(&all.to_string()).raw("</p><p>");
    html.text(
        "Each was sent, and nobody knows what became of it. It is sent nowhere else. Find out from \
         DANA (merchant portal, settlement file, support), and then say so with one of its commands. \
         \u{201c}Not executed\u{201d} is refused while an attempt may be under way.",
    );
    html.raw("</p><p class=dim>");
    html.text(
        "A key is a hash. To find the order of one, print the keys of the orders in question: \
         dana-failover key --partner PARTNER --operation create-order MERCHANT_ID REFERENCE. \
         Set TOKEN before you paste a command, and write what you found in evidence and reason.",
    );
    html.raw("</p></section>");
    let shown = limit.min(limits::IN_DOUBT_SHOWN_MAX);
    for one in doubt.census.oldest.iter().take(shown) {
        payment(&mut html, status, one);
    }
    if all > shown as u64 {
        html.raw("<p class=dim>");
        html.text(&format!("The oldest {shown} are shown. As JSON: GET /in-doubt?limit=1000."));
        html.raw("</p>");
    }
    html.raw("</main>");
    foot(&mut html, "GET /in-doubt");
    html.end()
}

fn facts(status: &StatusReport<'_>, one: &InDoubt) -> [String; 5] {
    let age = Length(one.age(status.now));
    let sent = format!("{}, {age} ago", Clock(one.claimed_at, status.zone()));
    let amount = letters(&one.money.currency).map_or_else(
        || "not known".to_owned(),
        |letters| format!("{letters}\u{a0}{}", grouped(one.money.minor)),
    );
    let gateways = names(one.candidates, status.layout).join(", ");
    [sent, amount, gateways, hex(&one.key), one.attempt.to_string()]
}

fn payment(html: &mut Html, status: &StatusReport<'_>, one: &InDoubt) {
    html.open(Mark::Bad).raw("<dl>");
    for (name, value) in FACTS.iter().zip(facts(status, one)) {
        html.pair(name, &value);
    }
    if let Some(until) = under_way(status, one) {
        let (left, until) = (Length(until.since(status.now)), Clock(until, status.zone()));
        html.pair("Under way", &format!("a repeat, until {until} ({left}) at the latest"));
    }
    if one.observed {
        html.pair("Observed", "it was answered while the filter only observed");
    }
    html.raw("</dl><pre>");
    let key = hex(&one.key);
    for gateway in names(one.candidates, status.layout) {
        let verdict = format!(r#""executed_at": "{gateway}""#);
        html.text(&command(status, &key, &verdict));
    }
    html.text(&command(status, &key, r#""executed": false"#));
    html.raw("</pre></section>");
}

fn under_way(status: &StatusReport<'_>, one: &InDoubt) -> Option<Timestamp> {
    one.repeat_until.filter(|until| *until > status.now)
}

fn command(status: &StatusReport<'_>, key: &str, verdict: &str) -> String {
    let origin = status.origin;
    format!(
        "curl -sS -u \"$USER:$TOKEN\" -H 'content-type: application/json' {origin}/resolve -d \
         '{{\"key\": \"{key}\", {verdict}, \"evidence\": \"\", \"reason\": \"\"}}'\n"
    )
}
