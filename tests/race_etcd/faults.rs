//! What goes wrong while payments are raced.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clients::Clients;
use crate::stand::{ENVOYS, Stand};
use crate::support::pause;

/// One fault, from its begin to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    LeaderKilled,
    LeaderFrozen,
    FollowerFrozen,
    MajorityFrozen,
    EnvoyKilled,
    /// For longer than the lease of a claim.
    EnvoyFrozen,
}

pub(crate) const ALL: [Fault; 6] = [
    Fault::LeaderKilled,
    Fault::EnvoyKilled,
    Fault::LeaderFrozen,
    Fault::EnvoyFrozen,
    Fault::FollowerFrozen,
    Fault::MajorityFrozen,
];

/// Between two faults.
const REST: Duration = Duration::from_millis(1500);

#[derive(Default)]
pub(crate) struct Faults {
    counts: [AtomicU32; ALL.len()],
    rounds: AtomicU32,
}

impl Faults {
    /// How many there were.
    pub(crate) fn injected(&self) -> u32 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many there were of each kind.
    pub(crate) fn counts(&self) -> [(Fault, u32); ALL.len()] {
        std::array::from_fn(|at| (ALL[at], self.counts[at].load(Ordering::Relaxed)))
    }

    /// Whether each of them was there.
    pub(crate) fn were_all_there(&self) -> bool {
        self.rounds.load(Ordering::Relaxed) > 0
    }

    /// One after the other, until the clients have made their payments, and each once at least.
    pub(crate) fn inject(&self, stand: &Stand, clients: &Clients, kills: bool) {
        pause(REST);
        for number in 0.. {
            for (fault, count) in ALL.into_iter().zip(&self.counts) {
                if matches!(fault, Fault::EnvoyKilled | Fault::EnvoyFrozen) && !kills {
                    continue;
                }
                if clients.has_enough() && self.were_all_there() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                fault.happen(stand, number);
                pause(REST);
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Fault {
    fn happen(self, stand: &Stand, number: usize) {
        let etcd = &stand.etcd;
        let freeze = |members: &[usize], lasts| {
            members.iter().for_each(|member| etcd.freeze(*member));
            pause(lasts);
            members.iter().for_each(|member| etcd.thaw(*member));
            etcd.wait_healthy();
        };
        match self {
            Self::LeaderKilled => {
                let leader = etcd.leader();
                etcd.kill(leader);
                pause(Duration::from_secs(2));
                etcd.restart(leader);
                etcd.wait_healthy();
            }
            Self::LeaderFrozen => freeze(&[etcd.leader()], Duration::from_secs(3)),
            Self::FollowerFrozen => freeze(&[etcd.follower()], Duration::from_secs(4)),
            Self::MajorityFrozen => freeze(&stand.majority(), Duration::from_millis(2500)),
            Self::EnvoyFrozen => stand.freeze((number + 1) % ENVOYS, Duration::from_secs(6)),
            Self::EnvoyKilled => {
                stand.kill(number % ENVOYS);
                pause(Duration::from_millis(500));
                stand.restart(number % ENVOYS);
            }
        }
    }
}
