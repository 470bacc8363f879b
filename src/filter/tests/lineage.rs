//! An etcd that knows less than before, and VMs that begin after that.

use super::envoy::Wish;
use super::fake::FakeHost;
use super::joined::{Calls, Joined};
use super::logged::{lines, listen};
use crate::engine::{Cell, CellRequest, Expected, MemoryEtcd, StoreLink};
use crate::filter::driver::cell;
use crate::filter::root::Root;
use crate::filter::with_etcd::WithEtcd;

impl Joined {
    /// Whether a payment that etcd does not know is let go.
    fn sends(&mut self, number: u32) -> bool {
        // Whatever time has passed: only etcd is to decide.
        self.heartbeats_are_well();
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

    /// Another VM of this process is the one that ticks and is paid at; the one of before stands still.
    fn turn_to(&mut self, other: &mut Root<FakeHost, WithEtcd>) {
        std::mem::swap(&mut self.root, other);
        self.pump();
        self.pass(1000);
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
        joined.pass(1000);
        joined.etcd = backup;
        lines();
        joined.update();
        assert!(!joined.sends(1), "{is_emptied}: it was paid");
        let why = if is_emptied { "this is not the realm" } else { "etcd knows less than it did" };
        assert!(lines().iter().any(|(_, line)| line.contains(why)), "{is_emptied}");
        // However often it is updated, and whatever etcd comes to know.
        joined.pass(20_000);
        joined.update();
        assert!(!joined.sends(1) && !joined.sends(2), "{is_emptied}");
    }
}

/// A clock that was put back keeps nobody from telling how far etcd is.
#[test]
fn whatever_the_clock_does_a_loss_is_found() {
    let mut joined = Joined::new();
    assert!(joined.sends(1));
    joined.pass(1000);
    joined.host.0.borrow_mut().now -= 3_600_000;
    joined.pass(2000);
    let backup = joined.etcd.clone();
    assert!(joined.sends(2));
    joined.pass(1000);
    joined.etcd = backup;
    joined.update();
    assert!(!joined.sends(2), "it was paid");
}

/// One of several workers finds it out: the others need not find it themselves.
#[test]
fn what_one_worker_has_found_out_holds_for_all() {
    let mut joined = Joined::new();
    let backup = joined.etcd.clone();
    assert!(joined.sends(1));
    joined.pass(1000);
    let mut other = joined.configured();
    joined.turn_to(&mut other);
    assert!(joined.sends(2));
    let newest = std::mem::replace(&mut joined.etcd, backup);
    joined.pass(2000);
    assert!(!joined.sends(3));
    // To this one etcd is as it was.
    joined.etcd = newest;
    joined.turn_to(&mut other);
    assert!(!joined.sends(4));
    // Status inquiries still pass at a VM that begins now: it is as one whose store is away.
    joined.update();
    assert_eq!(joined.root.member.as_ref().unwrap().link(), StoreLink::Away);
}

/// A worker that has done nothing for a while knows how far the others were.
#[test]
fn an_idle_worker_finds_what_a_busy_one_has_lost() {
    let mut joined = Joined::new();
    let mut idle = joined.configured();
    joined.turn_to(&mut idle);
    joined.turn_to(&mut idle);
    let backup = joined.etcd.clone();
    assert!(joined.sends(1));
    joined.pass(1000);
    // The majority is away when the idle one comes to ask, and comes back from a backup.
    joined.calls = Calls::Reset;
    joined.turn_to(&mut idle);
    joined.etcd = backup;
    joined.calls = Calls::Answered;
    joined.pass(2000);
    assert!(!joined.sends(1), "it was paid");
}

/// A listener is given the cluster of another etcd, and the right one again.
#[test]
fn a_wrong_cluster_stops_nobody_who_has_the_right_one() {
    listen();
    let mut joined = Joined::new();
    assert!(joined.sends(1));
    joined.pass(1000);
    let stranger = Joined::at(1_700_000_000_000).etcd;
    for (first, wrong) in [(10, stranger), (20, MemoryEtcd::default())] {
        let right = std::mem::replace(&mut joined.etcd, wrong.clone());
        let mut misled = joined.configured();
        std::mem::swap(&mut joined.root, &mut misled);
        lines();
        joined.pump();
        joined.pass(2000);
        assert!(!joined.sends(1) && !joined.sends(2));
        assert!(lines().iter().any(|(_, line)| line.contains("leads to another etcd")));
        assert_eq!(joined.root.member.as_ref().unwrap().link(), StoreLink::Refused);
        let left = std::mem::replace(&mut joined.etcd, right);
        assert!(left.keys().eq(wrong.keys()), "nothing is written there");
        joined.turn_to(&mut misled);
        assert!(joined.sends(first), "the one of before goes on");
        joined.update();
        assert!(joined.sends(first + 1), "the cluster is corrected");
    }
}

#[test]
fn an_update_without_a_loss_changes_nothing() {
    let mut joined = Joined::new();
    assert!(joined.sends(1));
    for number in 2..5 {
        joined.update();
        assert!(joined.sends(number), "{number}");
    }
}

/// Nobody knows what another version has seen.
#[test]
fn what_another_version_has_written_is_no_leave_to_begin() {
    let joined = Joined::new();
    let (bytes, expected) = (b"\xff".to_vec(), Expected::Any);
    cell(&joined.host, CellRequest::Store { cell: Cell::Lineages, bytes, expected });
    let told = joined.try_configured().err().unwrap();
    assert!(told.contains("written by another version"), "{told}");
}
