//! What payments feel of a member that fails: how many are refused, and how long they take.

use std::thread;
use std::time::Duration;

use crate::load;
use crate::support::envoy::Envoy;
use crate::support::etcd::Etcd;
use crate::support::pause;

/// Between two payments of a connection.
const EVERY: Duration = Duration::from_millis(100);
const LASTS: Duration = Duration::from_secs(6);
/// For how long a member is away, from the first second on.
const AWAY: Duration = Duration::from_secs(3);

/// What a load met.
pub(crate) struct Met {
    pub(crate) what: &'static str,
    pub(crate) took: Vec<Duration>,
    pub(crate) refused: usize,
}

/// What goes wrong with an etcd.
type FaultOf = fn(&Etcd);

/// The same load, with nothing wrong and with each of these.
pub(crate) fn measure(envoy: &Envoy, etcd: &Etcd) -> Vec<Met> {
    let cases: [(&str, FaultOf); 4] = [
        ("nothing is wrong", |_| {}),
        ("a follower is frozen for 3 s", |etcd| freeze(etcd, etcd.follower())),
        ("the leader is frozen for 3 s", |etcd| freeze(etcd, etcd.leader())),
        ("the leader is killed", |etcd| {
            let leader = etcd.leader();
            etcd.kill(leader);
            pause(AWAY);
            etcd.restart(leader);
        }),
    ];
    let measured = cases.into_iter().map(|(what, fault)| {
        eprintln!("{what}");
        let (took, refused) = thread::scope(|scope| {
            scope.spawn(|| {
                pause(Duration::from_secs(1));
                fault(etcd);
            });
            load::steady(envoy, "etcd", EVERY, LASTS)
        });
        etcd.wait_healthy();
        Met { what, took, refused }
    });
    measured.collect()
}

fn freeze(etcd: &Etcd, member: usize) {
    etcd.freeze(member);
    pause(AWAY);
    etcd.thaw(member);
}
