//! Workers that begin at the same moment over one store, each of their steps apart.

use super::*;
use crate::engine::machine::Ticket;
use crate::engine::store::MemoryStore;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn config(stores: &str) -> Rc<Config> {
    let config = format!(
        r#"{{"gateways": [{{"name": "a", "cluster": "c_a"}}, {{"name": "b", "cluster": "c_b"}}],
            "idempotency": {{"store": {{{stores}}}}}}}"#
    );
    Rc::new(Config::parse(config.as_bytes()).unwrap())
}

const LOCAL: &str = r#""local": {"claims_max": 64}"#;
const BOTH: &str = r#""local": {"claims_max": 64}, "etcd": {"cluster": "c", "realm": "r"}"#;
const ETCD: &str = r#""etcd": {"cluster": "c", "realm": "r"}"#;

/// A worker and what it waits for.
struct Beginning {
    join: Join,
    asked: Option<(Ticket, CellRequest)>,
    end: Option<JoinEffect>,
}

impl Beginning {
    fn new(noise: u8) -> Self {
        Self::with(LOCAL, noise)
    }

    fn with(stores: &str, noise: u8) -> Self {
        let join = Join::new(config(stores), vec![noise; 64]);
        let mut beginning = Self { join, asked: None, end: None };
        beginning.feed(Input::Event(()));
        beginning
    }

    fn feed(&mut self, input: Input<(), CellEvent>) {
        for output in self.join.handle(input, NOW, &mut ()) {
            match output {
                Output::Ask(ticket, request) => self.asked = Some((ticket, request)),
                Output::Do(effect) => self.end = Some(effect),
            }
        }
    }

    fn step(&mut self, store: &mut MemoryStore) {
        if let Some((ticket, request)) = self.asked.take() {
            let told = store.ask(request);
            self.feed(Input::Told(ticket, told.clone()));
            let asked = self.asked.clone();
            self.feed(Input::Told(ticket, told));
            assert_eq!(self.asked, asked, "told twice");
        }
    }

    fn joined(&self) -> (Placement, u64, bool) {
        match self.end.as_ref().unwrap() {
            JoinEffect::Joined { policy, owner, began } => (policy.placement, *owner, *began),
            JoinEffect::Failed(why) => panic!("{why}"),
        }
    }
}

/// The policy of a worker that joins a process with these stores.
fn join(store: &mut MemoryStore, stores: &str) -> Rc<Policy> {
    let mut one = Beginning::with(stores, 1);
    while one.asked.is_some() {
        one.step(store);
    }
    match one.end {
        Some(JoinEffect::Joined { policy, .. }) => policy,
        end => panic!("{stores}: {end:?}"),
    }
}

/// What is claimed in shared data is known there and nowhere else: it counts until the process ends,
/// however soon `local` is taken out of the configuration.
#[test]
fn shared_data_is_read_for_as_long_as_the_process_lives_if_anything_was_ever_claimed_there() {
    for (stores, drains) in [
        (&[LOCAL][..], &[false][..]),
        (&[ETCD], &[false]),
        (&[ETCD, ETCD], &[false, false]),
        (&[BOTH], &[true]),
        (&[LOCAL, ETCD, ETCD], &[false, true, true]),
        (&[LOCAL, BOTH, ETCD, BOTH, LOCAL], &[false, true, true, true, false]),
        (&[BOTH, ETCD], &[true, true]),
    ] {
        let mut store = MemoryStore::default();
        let drained: Vec<bool> =
            stores.iter().map(|stores| join(&mut store, stores).drains_local).collect();
        assert_eq!(drained, drains, "{stores:?}");
        let layout = Layout::decode(&store.load(Cell::Layout).bytes).unwrap();
        assert_eq!(layout.may_hold_claims(), stores.iter().any(|stores| *stores != ETCD));
    }
    // The smallest store is as large as one that holds nothing.
    let smallest = LOCAL.replace("64", "16");
    let mut store = MemoryStore::default();
    assert!(!join(&mut store, ETCD).drains_local);
    join(&mut store, &smallest);
    assert!(join(&mut store, ETCD).drains_local);
}

/// Two that look for a payment in two places would both claim it, and it would be sent twice.
#[test]
fn however_two_workers_begin_they_share_one_store_and_have_numbers_of_their_own() {
    // A bit says whose step it is.
    for schedule in 0..1_u32 << 12 {
        let mut store = MemoryStore::default();
        let mut both = [Beginning::new(1), Beginning::new(2)];
        for at in 0..12 {
            both[(schedule >> at & 1) as usize].step(&mut store);
        }
        for _ in 0..12 {
            both.iter_mut().for_each(|one| one.step(&mut store));
        }
        let [first, second] = both.map(|one| one.joined());
        assert_eq!(first.0, second.0, "{schedule:b}");
        assert_eq!(first.1 + second.1, 3, "numbers 1 and 2: {schedule:b}");
        assert!(first.2 != second.2, "one of them began it: {schedule:b}");
    }
}

#[test]
fn what_does_not_fit_the_store_or_cannot_reach_it_does_not_begin() {
    let mut store = MemoryStore::default();
    store.put(Cell::Layout, vec![99, 1, 2]);
    let mut one = Beginning::new(1);
    one.step(&mut store);
    assert!(matches!(&one.end, Some(JoinEffect::Failed(_))), "{:?}", one.end);
    let mut one = Beginning::new(1);
    let (ticket, request) = one.asked.take().unwrap();
    one.feed(Input::Told(ticket, CellEvent::Failed(request.cell())));
    assert!(matches!(&one.end, Some(JoinEffect::Failed(_))), "{:?}", one.end);
    // A store that keeps changing is left at some time.
    let mut one = Beginning::new(1);
    for _ in 0..100 {
        if let Some((ticket, request)) = one.asked.take() {
            let told = match request {
                CellRequest::Load(cell) => {
                    CellEvent::Loaded(cell, MemoryStore::default().load(cell))
                }
                CellRequest::Store { cell, .. } => CellEvent::Conflict(cell),
            };
            one.feed(Input::Told(ticket, told));
        }
    }
    let Some(JoinEffect::Failed(why)) = one.end else { panic!("{:?}", one.end) };
    assert!(why.contains("keeps changing"), "{why}");
}
