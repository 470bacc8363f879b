//! A worker that has joined an etcd in memory, and its requests.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::envoy::{CONFIG, Deed, Leaves, Shape, Way, Wish};
use super::fake::FakeHost;
use crate::engine::limits;
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Cell, CellEvent, CellRequest, Expected, Health};
use crate::engine::{Config, MemoryEtcd, Timestamp};
use crate::filter::driver::cell;
use crate::filter::root::Root;
use crate::filter::store_calls::Asker;
use crate::filter::stream::{Flow, Stream};
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

const EXECUTED: &str = r#"{"responseCode":"2005400","partnerReferenceNo":"r-1"}"#;
const FOUND: &str = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"00"}"#;

/// What becomes of calls to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
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
pub(super) struct Joined {
    pub(super) host: FakeHost,
    pub(super) root: Root<FakeHost, WithEtcd>,
    pub(super) etcd: MemoryEtcd,
    pub(super) calls: Calls,
    /// So many of the calls have ended.
    pub(super) ended: usize,
    pub(super) streams: BTreeMap<u32, Stream<FakeHost, WithEtcd>>,
}

fn configured(host: &FakeHost) -> Result<Root<FakeHost, WithEtcd>, String> {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    config["idempotency"]["store"] = json!({"etcd": {"cluster": "dana_etcd", "realm": "shop"}});
    config["audit"] = json!({});
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    Root::configure(host.clone(), config)
}

impl Joined {
    pub(super) fn new() -> Self {
        Self::at(1_790_000_000_000)
    }

    /// In a realm that begins then.
    pub(super) fn at(now: u64) -> Self {
        let host = FakeHost::default();
        host.0.borrow_mut().now = now;
        host.0.borrow_mut().takes_rpcs = true;
        let root = configured(&host).unwrap();
        let (etcd, calls, streams) = (MemoryEtcd::default(), Calls::Answered, BTreeMap::new());
        let mut joined = Self { host, root, etcd, calls, ended: 0, streams };
        joined.heartbeats_are_well();
        joined.pump();
        joined.pass(1000);
        assert!(joined.worker().stores.etcd.as_ref().unwrap().has_joined());
        joined
    }

    /// Another VM in the same process.
    pub(super) fn configured(&self) -> Root<FakeHost, WithEtcd> {
        self.try_configured().unwrap()
    }

    pub(super) fn try_configured(&self) -> Result<Root<FakeHost, WithEtcd>, String> {
        configured(&self.host)
    }

    pub(super) fn worker(&self) -> Rc<Worker<FakeHost, WithEtcd>> {
        Rc::clone(self.root.worker())
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.host.0.borrow().now)
    }

    pub(super) fn heartbeats_are_well(&self) {
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

    pub(super) fn tell(&mut self, asker: Asker, ticket: Ticket, event: BackendEvent) {
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
    pub(super) fn pump(&mut self) {
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

    pub(super) fn sent(&self) -> usize {
        self.host.0.borrow().rpcs.len()
    }

    /// Envoy ticks after so long.
    pub(super) fn tick_after(&mut self, millis: u64) {
        self.host.0.borrow_mut().now += millis;
        self.root.tick();
        for (asker, ticket) in self.worker().due(self.now()) {
            self.tell(asker, ticket, BackendEvent::Waited);
        }
        self.pump();
    }

    pub(super) fn pass(&mut self, millis: u64) {
        for _ in 0..millis / limits::ETCD_TICK_MS {
            self.tick_after(limits::ETCD_TICK_MS);
        }
    }

    /// A request of the payment with the same number, which goes to its gateway if etcd takes its claim.
    pub(super) fn begin(&mut self, number: u32, wish: Wish) {
        let mut stream = Stream::new(self.worker(), number);
        self.host.prepare(wish);
        self.name(number);
        let flow = self.host.bring_request(&mut stream, Way::new(wish, Deed::Execute));
        assert!(wish == Wish::Ask || flow == Flow::Hold);
        self.streams.insert(number, stream);
        self.pump();
    }

    pub(super) fn name(&self, number: u32) {
        let mut inside = self.host.0.borrow_mut();
        let named = String::from_utf8(inside.request_body.clone()).unwrap();
        inside.request_body = named.replace("r-1", &format!("r-{number}")).into_bytes();
    }

    /// The gateway has executed it, and its client gets that.
    pub(super) fn finish(&mut self, number: u32, wish: Wish) {
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
    pub(super) fn end(&mut self, number: u32) {
        self.host.set_flags(0);
        self.streams.remove(&number).unwrap().log();
    }

    /// Payments that etcd does not hear of any more once they are with their gateway.
    pub(super) fn executed(&mut self, numbers: std::ops::Range<u32>, calls: Calls) {
        for number in numbers.clone() {
            self.begin(number, Wish::Pay);
        }
        self.calls = calls;
        for number in numbers {
            self.finish(number, Wish::Pay);
        }
    }

    pub(super) fn unfinished(&self) -> usize {
        self.worker().stores.unfinished.borrow().len()
    }

    pub(super) fn stand_in(&self, place: &str) -> usize {
        let front = format!("/dana/v1/shop/{place}/");
        self.etcd.keys().filter(|(key, _)| key.starts_with(front.as_bytes())).count()
    }
}
