//! An etcd that knows less than before, and VMs that begin after that.

use super::envoy::Wish;
use super::joined::Joined;
use super::logged::{lines, listen};
use crate::engine::limits;
use crate::engine::{Cell, CellRequest, Expected, MemoryEtcd};
use crate::filter::driver::cell;

impl Joined {
    /// Whether a payment that etcd does not know is let go.
    fn sends(&mut self, number: u32) -> bool {
        let sent = self.host.0.borrow().resumed.len();
        self.begin(number, Wish::Pay);
        let is_sent = self.host.0.borrow().resumed.len() > sent;
        if is_sent {
            self.finish(number, Wish::Pay);
        } else {
            self.end(number);
        }
        is_sent
    }

    /// The listener is updated: a VM begins, and the one of before ends.
    fn update(&mut self) {
        self.root = self.configured();
        self.pump();
        self.pass(2000);
    }
}

/// Restored from a backup, or emptied. The VM of before has not noticed when it ends.
#[test]
fn whoever_begins_after_etcd_lost_claims_takes_none_either() {
    listen();
    for is_emptied in [false, true] {
        let mut joined = Joined::new();
        let backup = if is_emptied { MemoryEtcd::default() } else { joined.etcd.clone() };
        assert!(joined.sends(1));
        joined.pass(2 * limits::ETCD_LINEAGE_MS);
        joined.etcd = backup;
        lines();
        joined.update();
        assert!(!joined.sends(1), "{is_emptied}: it was paid");
        assert!(lines().iter().any(|(_, line)| line.contains("etcd knows less than it did")));
        // However often it is updated, and whatever etcd comes to know.
        joined.pass(20_000);
        joined.update();
        assert!(!joined.sends(1) && !joined.sends(2), "{is_emptied}");
    }
}

/// One of several workers finds it out: the others need not find it themselves.
#[test]
fn what_one_worker_has_found_out_holds_for_all() {
    let mut joined = Joined::new();
    let backup = joined.etcd.clone();
    assert!(joined.sends(1));
    joined.pass(2 * limits::ETCD_LINEAGE_MS);
    let mut other = joined.configured();
    std::mem::swap(&mut joined.root, &mut other);
    joined.pump();
    joined.pass(1000);
    assert!(joined.sends(2));
    let newest = std::mem::replace(&mut joined.etcd, backup);
    joined.pass(2000);
    assert!(!joined.sends(3));
    // To this one etcd is as it was.
    std::mem::swap(&mut joined.root, &mut other);
    joined.etcd = newest;
    joined.pass(1000);
    assert!(!joined.sends(4));
}

#[test]
fn an_update_without_a_loss_changes_nothing() {
    let mut joined = Joined::new();
    assert!(joined.sends(1));
    for number in 2..5 {
        joined.update();
        assert!(joined.sends(number), "{number}");
    }
    // What cannot be read was seen by nobody.
    let (bytes, expected) = (b"\xff".to_vec(), Expected::Any);
    cell(&joined.host, CellRequest::Store { cell: Cell::Realm, bytes, expected });
    joined.update();
    assert!(joined.sends(5));
}
