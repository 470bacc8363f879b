//! Exchanges that go on without their stream, over an etcd that is away, refuses, and comes back.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::envoy::{CONFIG, Deed, Leaves, Shape, Way, Wish};
use super::fake::FakeHost;
use super::logged::{lines, listen};
use crate::engine::limits;
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Cell, CellEvent, CellRequest, Expected, Health};
use crate::engine::{Config, MemoryEtcd, Timestamp};
use crate::filter::driver::cell;
use crate::filter::root::Root;
use crate::filter::store_calls::Asker;
use crate::filter::stream::{Flow, Stream};
use crate::filter::unfinished::{Backlog, GivenUp};
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

const EXECUTED: &str = r#"{"responseCode":"2005400","partnerReferenceNo":"r-1"}"#;
const FOUND: &str = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"00"}"#;

/// What becomes of calls to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    Answered,
    /// No member can be reached.
    Reset,
    /// They are carried out, and the answers are lost.
    Lost,
    /// etcd has no space.
    Denied,
    /// They are under way.
    Held,
}

/// A worker that has joined an etcd, and its requests.
struct Joined {
    host: FakeHost,
    root: Root<FakeHost, WithEtcd>,
    etcd: MemoryEtcd,
    calls: Calls,
    /// So many of the calls have ended.
    ended: usize,
    streams: BTreeMap<u32, Stream<FakeHost, WithEtcd>>,
}

impl Joined {
    fn new() -> Self {
        let host = FakeHost::default();
        host.0.borrow_mut().now = 1_790_000_000_000;
        host.0.borrow_mut().takes_rpcs = true;
        let mut config: Value = serde_json::from_str(CONFIG).unwrap();
        config["idempotency"]["store"] = json!({"etcd": {"cluster": "dana_etcd", "realm": "shop"}});
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let root = Root::configure(host.clone(), config).unwrap();
        let (etcd, calls, streams) = (MemoryEtcd::default(), Calls::Answered, BTreeMap::new());
        let mut joined = Self { host, root, etcd, calls, ended: 0, streams };
        joined.heartbeats_are_well();
        joined.pump();
        joined.pass(1000);
        assert!(joined.worker().stores.etcd.as_ref().unwrap().has_joined());
        joined
    }

    fn worker(&self) -> Rc<Worker<FakeHost, WithEtcd>> {
        Rc::clone(self.root.worker())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.host.0.borrow().now)
    }

    fn heartbeats_are_well(&self) {
        let load = CellRequest::Load(Cell::Health);
        let CellEvent::Loaded(_, loaded) = cell(&self.host, load) else { unreachable!() };
        let mut health = Health::decode(&loaded.bytes);
        let policy = &self.worker().policy;
        for gateway in policy.order() {
            for _ in 0..2 {
                health.on_probe(gateway, true, &policy.health, self.now());
            }
        }
        let (bytes, expected) = (health.encode(), Expected::Any);
        cell(&self.host, CellRequest::Store { cell: Cell::Health, bytes, expected });
    }

    fn tell(&mut self, asker: Asker, ticket: Ticket, event: BackendEvent) {
        let Asker::Request(context) = asker else {
            return self.root.told(asker, ticket, event);
        };
        if let Some(event) = self.worker().tell_unfinished(context, ticket, event)
            && let Some(stream) = self.streams.get_mut(&context)
        {
            stream.told(ticket, event);
        }
    }

    /// All calls come to their end, unless they are held.
    fn pump(&mut self) {
        while self.calls != Calls::Held && self.ended < self.sent() {
            let (_, request) = self.host.0.borrow().rpcs[self.ended].clone();
            let token = u32::try_from(self.ended).unwrap();
            self.ended += 1;
            let event = match self.calls {
                Calls::Answered => self.etcd.call(&request),
                Calls::Reset => RpcEvent::Failed(14),
                Calls::Denied => RpcEvent::Failed(8),
                Calls::Lost | Calls::Held => {
                    self.etcd.call(&request);
                    RpcEvent::Failed(4)
                }
            };
            let (asker, ticket) = self.worker().stores.calls.take(token).unwrap();
            self.tell(asker, ticket, BackendEvent::Rpc(event));
        }
    }

    fn sent(&self) -> usize {
        self.host.0.borrow().rpcs.len()
    }

    /// Envoy ticks after so long.
    fn tick_after(&mut self, millis: u64) {
        self.host.0.borrow_mut().now += millis;
        self.root.tick();
        for (asker, ticket) in self.worker().due(self.now()) {
            self.tell(asker, ticket, BackendEvent::Waited);
        }
        self.pump();
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / limits::ETCD_TICK_MS {
            self.tick_after(limits::ETCD_TICK_MS);
        }
    }

    /// A request of the payment with the same number, which goes to its gateway if etcd takes its claim.
    fn begin(&mut self, number: u32, wish: Wish) {
        let mut stream = Stream::new(self.worker(), number);
        self.host.prepare(wish);
        self.name(number);
        let flow = self.host.bring_request(&mut stream, Way::new(wish, Deed::Execute));
        assert!(wish == Wish::Ask || flow == Flow::Hold);
        self.streams.insert(number, stream);
        self.pump();
    }

    fn name(&self, number: u32) {
        let mut inside = self.host.0.borrow_mut();
        let named = String::from_utf8(inside.request_body.clone()).unwrap();
        inside.request_body = named.replace("r-1", &format!("r-{number}")).into_bytes();
    }

    /// The gateway has executed it, and its client gets that.
    fn finish(&mut self, number: u32, wish: Wish) {
        let mut stream = self.streams.remove(&number).unwrap();
        self.host.prepare(wish);
        self.host.reach("primary");
        let body = if wish == Wish::Ask { FOUND } else { EXECUTED };
        let body = body.replace("r-1", &format!("r-{number}"));
        self.host.bring_answer(&mut stream, 200, &body, Shape::Whole, Leaves::Never);
        self.streams.insert(number, stream);
        self.pump();
        self.end(number);
    }

    /// The stream is over.
    fn end(&mut self, number: u32) {
        self.host.set_flags(0);
        self.streams.remove(&number).unwrap().log();
    }

    /// Payments that etcd does not hear of any more once they are with their gateway.
    fn executed(&mut self, numbers: std::ops::Range<u32>, calls: Calls) {
        for number in numbers.clone() {
            self.begin(number, Wish::Pay);
        }
        self.calls = calls;
        for number in numbers {
            self.finish(number, Wish::Pay);
        }
    }

    fn unfinished(&self) -> usize {
        self.worker().stores.unfinished.borrow().len()
    }

    fn stand_in(&self, place: &str) -> usize {
        let front = format!("/dana/v1/shop/{place}/");
        self.etcd.keys().filter(|(key, _)| key.starts_with(front.as_bytes())).count()
    }
}

/// Away or without space, for minutes, and while the clock leaps: it is all the same.
#[test]
fn however_long_the_store_takes_nothing_it_waits_for_is_given_up() {
    for calls in [Calls::Reset, Calls::Lost, Calls::Denied] {
        let mut joined = Joined::new();
        joined.executed(1..4, calls);
        // One whose claim may be written, and that nobody sends.
        joined.begin(9, Wish::Pay);
        joined.pass(4000);
        joined.end(9);
        let is_unclear = usize::from(calls != Calls::Denied);
        assert_eq!(joined.unfinished(), 3 + is_unclear, "{calls:?}");
        joined.pass(180_000);
        joined.tick_after(3_600_000);
        joined.pass(1000);
        assert_eq!(joined.unfinished(), 3 + is_unclear, "{calls:?}: later");
        joined.calls = Calls::Answered;
        joined.pass(5000);
        assert_eq!(joined.unfinished(), 0, "{calls:?}: all is written");
        assert_eq!((joined.stand_in("o"), joined.stand_in("s")), (0, 3 + is_unclear), "{calls:?}");
        assert_eq!(
            joined.worker().stores.unfinished.borrow_mut().take_given_up(),
            GivenUp::default()
        );
    }
}

/// While the store is away nobody asks it but who looks for it. When it is back, they come in their turn.
#[test]
fn a_store_that_comes_back_is_asked_by_so_many_at_a_time() {
    let mut joined = Joined::new();
    joined.executed(1..161, Calls::Reset);
    // Claims that may be written, and must not be.
    (161..201).for_each(|number| joined.begin(number, Wish::Pay));
    joined.pass(5000);
    (161..201).for_each(|number| joined.end(number));
    assert_eq!(joined.unfinished(), 200);
    let looks = |joined: &mut Joined, millis: u64| {
        let before = joined.sent();
        joined.tick_after(millis);
        joined.sent() - before
    };
    for _ in 0..50 {
        assert!(looks(&mut joined, limits::ETCD_TICK_MS) <= 2, "while it is away");
    }
    joined.calls = Calls::Answered;
    while joined.worker().stores.etcd.as_ref().unwrap().is_away() {
        joined.host.0.borrow_mut().now += limits::ETCD_TICK_MS;
        joined.root.tick();
        joined.pump();
    }
    joined.calls = Calls::Held;
    let most = limits::UNFINISHED_UNDER_WAY_MAX;
    let looked: Vec<usize> = (0..6).map(|_| looks(&mut joined, limits::ETCD_TICK_MS)).collect();
    // The worker itself looks at the realm now and then.
    let sent: usize = looked.iter().sum();
    assert!((most..=most + 3).contains(&sent), "the others wait until these are done: {looked:?}");
    joined.calls = Calls::Answered;
    joined.pump();
    assert_eq!(joined.unfinished(), 200 - most, "each of them has written all");
    // All of them have their turn.
    joined.pass(1000);
    assert_eq!((joined.unfinished(), joined.stand_in("s")), (0, 200));
}

/// A claim is kept rather than what a status has told of somebody's payment.
#[test]
fn where_there_is_no_room_for_all_those_without_a_claim_go_first() {
    listen();
    let mut joined = Joined::new();
    let _ = joined.worker().stores.unfinished.replace(Backlog::of(3));
    for number in 1..5 {
        joined.begin(number, Wish::Pay);
    }
    for number in 11..16 {
        joined.begin(number, Wish::Ask);
    }
    joined.calls = Calls::Reset;
    let given_up = |joined: &Joined| joined.worker().stores.unfinished.borrow_mut().take_given_up();
    let (none, other) = (GivenUp::default(), GivenUp { claims: 0, others: 1 });
    for (number, lost) in [(11, none), (12, none), (13, none), (14, other)] {
        joined.finish(number, Wish::Ask);
        assert_eq!(given_up(&joined), lost, "{number}");
    }
    for number in 1..4 {
        joined.finish(number, Wish::Pay);
        assert_eq!((given_up(&joined), joined.unfinished()), (other, 3), "{number}");
    }
    // No claim goes for anything less, nor for another one.
    joined.finish(15, Wish::Ask);
    assert_eq!(given_up(&joined), other);
    lines();
    joined.finish(4, Wish::Pay);
    joined.pass(1000);
    let told: Vec<String> = lines().into_iter().map(|(_, line)| line).collect();
    let told: Vec<&String> = told.iter().filter(|line| line.contains("given up")).collect();
    let [told] = told[..] else { panic!("once: {told:?}") };
    assert!(told.contains("how 1 of them ended") && told.contains("what 0 have learnt"), "{told}");
    joined.calls = Calls::Answered;
    joined.pass(5000);
    assert_eq!((joined.unfinished(), joined.stand_in("o"), joined.stand_in("s")), (0, 1, 3));
}
