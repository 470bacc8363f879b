//! The faults in force at a gateway, and which of them hurts a request.

use serde_json::Value;

use super::fault::{Fault, Kind};
use super::operations::Operation;

/// The faults in force at one gateway: at most one for each operation and one for all.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Puts a fault in force; it takes the place of an earlier one for the same operation.
    pub(super) fn hurt(&mut self, fault: Fault) {
        self.heal_one(fault.operation);
        self.0.push(fault);
    }

    pub(super) fn heal(&mut self, operation: Option<Operation>) {
        match operation {
            Some(_) => self.heal_one(operation),
            None => self.0.clear(),
        }
    }

    fn heal_one(&mut self, operation: Option<Operation>) {
        self.0.retain(|fault| fault.operation != operation);
    }

    pub(super) fn refuses(&self) -> bool {
        self.0.iter().any(|fault| fault.kind == Kind::Refuse)
    }

    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(Fault::to_json).collect()
    }

    /// The fault that hurts a request for this operation: its own before the one for all.
    pub(super) fn take(&mut self, operation: Option<Operation>) -> Option<Fault> {
        let own = self
            .0
            .iter()
            .position(|fault| fault.operation.is_some() && fault.operation == operation);
        let index = own.or_else(|| self.0.iter().position(|fault| fault.operation.is_none()))?;
        self.use_up(index)
    }

    /// The fault that hurts a heartbeat: only one that was told to.
    pub(super) fn take_for_heartbeat(&mut self) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.heartbeats)?;
        self.use_up(index)
    }

    fn use_up(&mut self, index: usize) -> Option<Fault> {
        let fault = self.0.get_mut(index)?;
        fault.left = fault.left.map(|left| left.saturating_sub(1));
        let taken = fault.clone();
        if taken.left == Some(0) {
            self.0.remove(index);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sandbox::fault::Order;

    fn hurt(json: &str) -> Fault {
        match Order::parse(json.as_bytes()).unwrap() {
            Order::Hurt(fault) => fault,
            Order::Heal(_) => panic!("expected a fault: {json}"),
        }
    }

    #[test]
    fn a_counted_fault_ends_by_itself_and_an_operations_own_goes_first() {
        let mut faults = Faults::default();
        faults.hurt(hurt(r#"{"fault":"hang"}"#));
        faults.hurt(hurt(r#"{"fault":"reset","operation":"topup","count":1}"#));
        let topup = Some(Operation::Topup);
        assert_eq!(faults.take(topup).unwrap().kind, Kind::Reset);
        assert_eq!(faults.take(topup).unwrap().kind, Kind::Hang);
        assert_eq!(faults.take(None).unwrap().kind, Kind::Hang);
        assert_eq!(faults.take_for_heartbeat(), None);
        faults.heal(topup);
        assert!(faults.take(topup).is_some());
        faults.heal(None);
        assert_eq!(faults.take(topup), None);
    }

    #[test]
    fn heartbeats_are_hurt_only_when_asked_for() {
        let mut faults = Faults::default();
        faults.hurt(hurt(r#"{"fault":"hang","heartbeats":true,"count":1}"#));
        assert!(faults.take_for_heartbeat().is_some());
        assert_eq!(faults.take_for_heartbeat(), None);
    }
}
