//! Whatever a request is counted as was there from the start: the tests of all that can become of one
//! hold the implied label sets to be whole.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::engine::config::Policy;
use crate::engine::event::Decision;
use crate::engine::gateway::Gateways;
use crate::engine::metrics::{REQUESTS, implied};

type Known = Option<(Rc<Policy>, BTreeSet<String>)>;

thread_local! {
    /// What the last policy implies: tests play many requests by one.
    static KNOWN: RefCell<Known> = const { RefCell::new(None) };
}

fn names(policy: &Policy) -> BTreeSet<String> {
    let all = implied::all(policy).into_iter().filter(|one| *one.family == REQUESTS);
    all.map(|one| {
        let values: Vec<&str> = one.values.iter().map(String::as_str).collect();
        REQUESTS.full_name(&values)
    })
    .collect()
}

/// Whether gateways are such as no configuration implies: one that is no longer configured, or a
/// set that no composite has.
fn is_left_out(policy: &Policy, gateways: Gateways) -> bool {
    let is_composite = |of: &Gateways| {
        policy.composites.iter().any(|one| one.members.iter().copied().collect::<Gateways>() == *of)
    };
    let is_gone = gateways.iter().any(|gateway| policy.gateway(gateway).is_none());
    is_gone || (!gateways.is_empty() && gateways.single().is_none() && !is_composite(&gateways))
}

/// A request is counted by a label set that its policy implies.
pub(super) fn check(policy: &Rc<Policy>, decision: &Decision) {
    let counted = not_implied(policy, decision);
    assert!(counted.is_none(), "not implied: {counted:?}");
}

/// The label set that a request is counted by, if its policy does not imply it.
pub(super) fn not_implied(policy: &Rc<Policy>, decision: &Decision) -> Option<String> {
    KNOWN.with_borrow_mut(|known| {
        if !known.as_ref().is_some_and(|(of, _)| Rc::ptr_eq(of, policy)) {
            *known = Some((Rc::clone(policy), names(policy)));
        }
        let counted = REQUESTS.full_name(&decision.labels());
        let is_known = known.as_ref().is_some_and(|(_, names)| names.contains(&counted));
        (!is_known && !is_left_out(policy, decision.gateways)).then_some(counted)
    })
}
