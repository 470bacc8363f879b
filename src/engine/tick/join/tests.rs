//! Workers that begin at the same moment over one store, each of their steps apart.

use super::*;
use crate::engine::machine::Ticket;
use crate::engine::store::MemoryStore;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn config(gateways: &[&str]) -> Rc<Config> {
    let one = |name: &&str| format!(r#"{{"name": "{name}", "cluster": "c_{name}"}}"#);
    let gateways: Vec<String> = gateways.iter().map(one).collect();
    let config = format!(r#"{{"gateways": [{}]}}"#, gateways.join(","));
    Rc::new(Config::parse(config.as_bytes()).unwrap())
}

/// A worker and what it waits for.
struct Beginning {
    join: Join,
    asked: Option<(Ticket, CellRequest)>,
    end: Option<JoinEffect>,
}

impl Beginning {
    fn new(noise: u8) -> Self {
        let join = Join::new(config(&["a", "b"]), vec![noise; 64]);
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
