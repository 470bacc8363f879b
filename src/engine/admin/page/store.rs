//! How much room the claim store has; of one in etcd, whether it answers and who shares it.

use super::html::{Html, Mark};
use crate::engine::admin::status::StatusReport;
use crate::engine::config::EtcdConfig;
use crate::engine::health::Why;
use crate::engine::store::{LocalClaims, MAKES_ROOM, ResolvedCount, Room, StoreLink};

/// How bad it is how the store stands: without etcd nothing new is paid.
pub(super) fn mark(status: &StatusReport<'_>) -> Mark {
    match (status.policy.config.store.etcd(), status.links, status.link()) {
        // Where it was not asked for nothing is known of it.
        (None, ..) | (_, None, _) | (.., Some(StoreLink::Joined)) => Mark::Good,
        (.., None | Some(StoreLink::Joining | StoreLink::Away | StoreLink::Refused)) => Mark::Bad,
    }
}

pub(super) fn card(html: &mut Html, status: &StatusReport<'_>) {
    if let Some(etcd) = status.policy.config.store.etcd() {
        return shared(html, status, etcd);
    }
    let refuses = status.refused_now().any(|(why, _)| why == Why::StoreFull);
    let census = status.doubt.map(|doubt| doubt.census);
    let room = census.map(|census| census.room());
    let mark = match room {
        _ if refuses => Mark::Bad,
        Some(Room::None) => Mark::Bad,
        Some(Room::Little) | None => Mark::Care,
        Some(Room::Enough) => Mark::Good,
    };
    html.open(mark).raw("<p class=dim>Claim store</p><p class=big>").raw(mark.sign());
    let Some(census) = census else {
        let text = if refuses { "full" } else { "not counted yet" };
        html.raw(text).raw("</p>");
        advice(html, mark);
        html.raw("</section>");
        return;
    };
    let is_full = refuses || room == Some(Room::None);
    let big = if is_full { "full".to_owned() } else { format!("{}% full", census.fill_pct()) };
    html.text(&big).raw("</p><p>");
    if census.full > 0 && census.full == census.buckets {
        html.text("No bucket has room: every new payment is refused. ");
    } else if census.full > 0 {
        let (full, buckets) = (census.full, census.buckets);
        let one_in = buckets / full.max(1);
        html.text(&format!(
            "{full} of {buckets} buckets have no room: about one of {one_in} new payments is \
             refused. "
        ));
    } else if is_full {
        html.text("New payments are refused. ");
    } else {
        html.text("No payment is refused for want of room. ");
    }
    html.raw("</p>");
    advice(html, mark);
    html.raw("<p class=dim>");
    html.text(&format!(
        "It must keep {} of its {} records. The fullest bucket is {}% full.",
        census.kept,
        census.records,
        census.bucket_fill_pct()
    ));
    html.raw("</p></section>");
}

/// The store in etcd.
fn shared(html: &mut Html, status: &StatusReport<'_>, etcd: &EtcdConfig) {
    let mark = mark(status);
    html.open(mark).raw("<p class=dim>Claim store</p><p class=big>").raw(mark.sign());
    let (big, text) = match status.link() {
        Some(StoreLink::Joined) => ("etcd answers", "New payments are claimed there."),
        Some(StoreLink::Joining) => {
            ("not joined yet", "Payments are refused until each worker has joined.")
        }
        Some(StoreLink::Away) => (
            "etcd cannot be used now",
            "Payments are refused. Envoy's log says why: look at its members, its space, and the way to them.",
        ),
        Some(StoreLink::Refused) => {
            ("etcd cannot be joined", "Payments are refused. Envoy's log says why.")
        }
        None => ("nobody is at work", "The payments' filter says nothing of etcd."),
    };
    html.raw(big).raw("</p><p>").raw(text).raw("</p><dl>");
    html.pair("Realm", &format!("{}, by cluster {}", etcd.realm, etcd.cluster));
    if let Some(census) = status.doubt.map(|doubt| doubt.census) {
        let ResolvedCount { claims, is_exact } =
            census.resolved.unwrap_or(ResolvedCount { claims: 0, is_exact: true });
        let about = if is_exact { "" } else { "about " };
        let in_flight = census.states.in_flight;
        html.pair("Claims", &format!("{in_flight} under way, {about}{claims} resolved"));
        if let Some(LocalClaims { claims, in_doubt }) = census.local {
            let text = format!("{claims} that end with this process, {in_doubt} of them in doubt");
            html.pair("In memory", &text);
        }
    }
    let unfinished = status.links.map_or(0, |links| links.unfinished(status.now));
    if unfinished > 0 {
        html.pair("Not written yet", &format!("how {unfinished} requests ended"));
    }
    html.raw("</dl><p class=dim>");
    html.raw(
        "All Envoys of the realm share these claims, and money in doubt is that of all of them. Gateways, \
         switches and overrides are this Envoy's own. How full etcd is, it says itself.",
    );
    html.raw("</p></section>");
}

fn advice(html: &mut Html, mark: Mark) {
    if mark == Mark::Bad {
        html.raw("<p>").text(MAKES_ROOM).raw("</p>");
    }
}
