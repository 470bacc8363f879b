//! The faults in force at a gateway, and which of them hurts a request.

use serde_json::Value;

use super::fault::{Fault, Kind, Scope};
use super::operations::Operation;

/// Each request looks through all of them.
const FAULTS_MAX: usize = 1000;

/// The faults in force at one gateway: at most one for each operation of each payment, for each
/// payment, for each operation, and for all.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Puts a fault in force; it takes the place of an earlier one of the same scope.
    pub(super) fn hurt(&mut self, fault: Fault) -> Result<(), String> {
        self.0.retain(|earlier| earlier.scope != fault.scope);
        if self.0.len() >= FAULTS_MAX {
            return Err(format!("expected at most {FAULTS_MAX} faults at one gateway"));
        }
        self.0.push(fault);
        Ok(())
    }

    /// Ends every fault within this scope; the widest holds them all.
    pub(super) fn heal(&mut self, scope: &Scope) {
        self.0.retain(|fault| !scope.covers(&fault.scope));
    }

    pub(super) fn refuses(&self) -> bool {
        self.0.iter().any(|fault| fault.kind == Kind::Refuse)
    }

    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(Fault::to_json).collect()
    }

    /// The fault that hurts this operation on this payment: the one with the narrowest scope.
    pub(super) fn take(&mut self, operation: Option<Operation>, reference: &str) -> Option<Fault> {
        let holding =
            self.0.iter().enumerate().filter(|(_, f)| f.scope.holds(operation, reference));
        let (index, _) = holding.max_by_key(|(_, fault)| fault.scope.narrowness())?;
        self.use_up(index)
    }

    /// The fault that hurts a heartbeat: only one that was told to.
    pub(super) fn take_for_heartbeat(&mut self) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.heartbeats)?;
        self.use_up(index)
    }

    fn use_up(&mut self, index: usize) -> Option<Fault> {
        let fault = self.0.get_mut(index)?;
        fault.spared += 1;
        if fault.spared < fault.every {
            return None;
        }
        fault.spared = 0;
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
        faults.hurt(hurt(r#"{"fault":"hang"}"#)).unwrap();
        faults.hurt(hurt(r#"{"fault":"reset","operation":"topup","count":1}"#)).unwrap();
        let topup = Some(Operation::Topup);
        assert_eq!(faults.take(topup, "").unwrap().kind, Kind::Reset);
        assert_eq!(faults.take(topup, "").unwrap().kind, Kind::Hang);
        assert_eq!(faults.take(None, "").unwrap().kind, Kind::Hang);
        assert_eq!(faults.take_for_heartbeat(), None);
        faults.heal(&Scope { operation: topup, reference: None });
        assert!(faults.take(topup, "").is_some());
        faults.heal(&Scope::default());
        assert_eq!(faults.take(topup, ""), None);
    }

    #[test]
    fn the_narrowest_fault_hurts_and_others_stand_beside_it() {
        let mut faults = Faults::default();
        for json in [
            r#"{"fault":"empty","operation":"topup","reference":"a"}"#,
            r#"{"fault":"hang"}"#,
            r#"{"fault":"close","reference":"a"}"#,
            r#"{"fault":"garbage","reference":"b"}"#,
            r#"{"fault":"reset","operation":"topup"}"#,
        ] {
            faults.hurt(hurt(json)).unwrap();
        }
        let (topup, order) = (Some(Operation::Topup), Some(Operation::CreateOrder));
        let cases = [
            (topup, "a", Kind::Empty),
            (order, "a", Kind::Close),
            (topup, "b", Kind::Garbage),
            (topup, "c", Kind::Reset),
            (order, "c", Kind::Hang),
            (None, "", Kind::Hang),
        ];
        for (operation, reference, kind) in cases {
            assert_eq!(faults.take(operation, reference).unwrap().kind, kind, "{reference}");
        }
        faults.heal(&Scope { operation: None, reference: Some("a".to_owned()) });
        assert_eq!(faults.take(topup, "a").unwrap().kind, Kind::Reset);
        assert_eq!(faults.take(topup, "b").unwrap().kind, Kind::Garbage);
    }

    #[test]
    fn one_of_so_many_is_hurt() {
        let mut faults = Faults::default();
        faults.hurt(hurt(r#"{"fault":"hang","every":3,"count":2}"#)).unwrap();
        let hurt: Vec<bool> = (0..9).map(|_| faults.take(None, "").is_some()).collect();
        let expected = [false, false, true, false, false, true, false, false, false];
        assert_eq!(hurt, expected);
    }

    #[test]
    fn references_that_begin_alike_are_hurt_together() {
        let mut faults = Faults::default();
        faults.hurt(hurt(r#"{"fault":"hang","reference":"BAD-*"}"#)).unwrap();
        let hurt = ["BAD-1", "BAD-", "BA", "GOOD-1"].map(|one| faults.take(None, one).is_some());
        assert_eq!(hurt, [true, true, false, false]);
    }

    #[test]
    fn faults_are_many_but_not_endless() {
        let mut faults = Faults::default();
        let fault = |n: usize| hurt(&format!(r#"{{"fault":"hang","reference":"r-{n}"}}"#));
        for n in 0..FAULTS_MAX {
            faults.hurt(fault(n)).unwrap();
        }
        assert!(faults.hurt(fault(FAULTS_MAX)).unwrap_err().contains("at most 1000"));
        assert!(faults.hurt(fault(0)).is_ok(), "in the place of its like");
    }

    #[test]
    fn heartbeats_are_hurt_only_when_asked_for() {
        let mut faults = Faults::default();
        faults.hurt(hurt(r#"{"fault":"hang","heartbeats":true,"count":1}"#)).unwrap();
        assert!(faults.take_for_heartbeat().is_some());
        assert_eq!(faults.take_for_heartbeat(), None);
    }
}
