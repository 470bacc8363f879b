//! Counters are there before anything happens, and what happens is counted in one of them.

use std::collections::BTreeSet;

use super::envoy::{CONFIG, Process, Ready};
use super::fake::FakeHost;
use super::stories;
use crate::engine::Config;
use crate::filter::root::Root;
use crate::filter::with_etcd::WithEtcd;

fn names(host: &FakeHost) -> BTreeSet<String> {
    host.0.borrow().metrics.iter().map(|(name, _)| name.clone()).collect()
}

#[test]
fn whatever_a_request_is_counted_as_was_there_from_the_start() {
    let host = FakeHost::default();
    host.0.borrow_mut().now = 1_790_000_000_000;
    Root::<_, WithEtcd>::configure(host.clone(), Config::parse(CONFIG.as_bytes()).unwrap())
        .unwrap();
    let from_the_start = names(&host);
    assert!(from_the_start.len() > 500, "{}", from_the_start.len());
    let (ready, mut seen) = (Ready::new(), BTreeSet::new());
    for story in stories() {
        let mut process = Process::new(&ready);
        (story.before)(&mut process);
        process.go(story.way);
        for name in names(&process.host) {
            assert!(from_the_start.contains(&name), "{}: {name}", story.name);
            seen.insert(name);
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}
