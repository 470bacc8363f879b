//! How much room the claim store has.

use super::html::{Html, Mark};
use crate::engine::admin::status::StatusReport;
use crate::engine::health::Why;
use crate::engine::store::{MAKES_ROOM, Room};

pub(super) fn card(html: &mut Html, status: &StatusReport<'_>) {
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

fn advice(html: &mut Html, mark: Mark) {
    if mark == Mark::Bad {
        html.raw("<p>").text(MAKES_ROOM).raw("</p>");
    }
}
