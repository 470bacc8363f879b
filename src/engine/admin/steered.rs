//! What operators have set or must decide, as objects of the status.

use super::object::{Object, time};
use crate::engine::health::{Breach, Override};
use crate::engine::time::Timestamp;

pub(super) fn barred((at, breach): (Timestamp, Breach)) -> Object {
    Object::new().with("since", time(at)).with("why", breach.name())
}

pub(super) fn told(one: &Override) -> Object {
    Object::new()
        .with("steer", one.kind.name())
        .with("since", time(one.since))
        .with("until", time(one.until))
        .with("actor", one.actor.as_str())
        .with("reason", one.reason.as_str())
}
