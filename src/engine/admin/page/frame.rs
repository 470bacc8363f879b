//! The head and the foot of each page.

use super::html::Html;
use crate::engine::admin::status::{StatusReport, VERSION};
use crate::engine::time::Clock;

/// The head; `renewed` says how often the page is loaded again.
pub(super) fn head(html: &mut Html, status: &StatusReport<'_>, renewed: &str) {
    html.raw("<header><h1>DANA payments");
    if let Some(instance) = status.instance.told() {
        html.raw(" <span class=dim>at ").text(&instance).raw("</span>");
    }
    html.raw("</h1><small>").text(&Clock(status.now, status.zone()).to_string());
    html.raw(renewed).raw("</small></header>");
}

/// The foot; `machines` is the request that gives the same as JSON.
pub(super) fn foot(html: &mut Html, machines: &str) {
    html.raw("<footer><span>dana-failover ").text(VERSION);
    html.raw("</span><span>The same for machines: ").raw(machines).raw("</span></footer>");
}
