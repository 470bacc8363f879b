//! The operators' listener where claims stand in etcd: a request is held until that has answered, and
//! nobody waits for ever.

use std::rc::Rc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::envoy::{CONFIG, Process, Ready};
use super::logged::{lines, listen};
use crate::engine::limits;
use crate::engine::{BackendEvent, MemoryEtcd, Reply, RpcEvent, Ticket};
use crate::engine::{Config, Timestamp};
use crate::engine::{Layout, Placement, Seed};
use crate::filter::admin::{AdminRoot, AdminStream};
use crate::filter::store_calls::Asker;
use crate::filter::stream::Flow;
use crate::filter::tests::fake::FakeHost;

const TOKEN: &str = "s3cret";

/// An operators' listener, the store that it calls, and the process that it is in.
struct Listener {
    process: Process,
    etcd: MemoryEtcd,
    root: Rc<AdminRoot<FakeHost>>,
}

fn config(store: &Value) -> Config {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    config["admin"] = json!({"role": "admin", "token_sha256": digest});
    config["idempotency"]["store"] = store.clone();
    Config::parse(config.to_string().as_bytes()).unwrap()
}

impl Listener {
    fn new(ready: &Ready) -> Self {
        let process = Process::new(ready);
        let store = json!({"etcd": {"cluster": "dana_etcd", "realm": "shop"}});
        let root = AdminRoot::new(process.host.clone(), config(&store)).unwrap();
        assert!(root.ticks());
        process.host.0.borrow_mut().takes_rpcs = true;
        let mut etcd = MemoryEtcd::default();
        // Another Envoy has joined the realm.
        let mut layout = Layout::new(Placement::new(1, Seed::default()));
        layout.join(1, &[("primary", "primary")], &[]).unwrap();
        etcd.put(b"/dana/v1/shop/layout", &layout.encode());
        Self { process, etcd, root: Rc::new(root) }
    }

    /// A request for a word on a payment that nobody knows, up to its end.
    fn begin(&self, number: u32) -> AdminStream<FakeHost> {
        let body = json!({"key": "ab".repeat(20), "executed": false, "evidence": "C-1",
                          "reason": "asked", "actor": "anna"});
        {
            let mut inside = self.process.host.0.borrow_mut();
            let bearer = format!("Bearer {TOKEN}");
            let fields = [
                (":method", "POST"),
                (":path", "/resolve"),
                ("authorization", &bearer),
                ("content-type", "application/json"),
            ];
            inside.request =
                fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            inside.request_body = body.to_string().into_bytes();
        }
        let mut stream = AdminStream::new(Rc::clone(&self.root), number);
        assert_eq!(stream.request_headers(false), Flow::Hold);
        assert_eq!(stream.request_body(body.to_string().len(), true), Flow::Hold);
        stream
    }

    fn replies(&self) -> Vec<Reply> {
        self.process.host.0.borrow().replies.clone()
    }

    fn calls(&self) -> usize {
        self.process.host.0.borrow().rpcs.len()
    }

    /// How the last call ends, and who has asked.
    fn answer(&mut self) -> (u32, Ticket, BackendEvent) {
        let (cluster, request) = self.process.host.0.borrow().rpcs.last().unwrap().clone();
        assert_eq!(cluster, "dana_etcd");
        let token = u32::try_from(self.calls() - 1).unwrap();
        let (asker, ticket) = self.root.calls.take(token).unwrap();
        let Asker::Request(number) = asker else { panic!("{asker:?}") };
        (number, ticket, BackendEvent::Rpc(self.etcd.call(&request)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.process.host.0.borrow().now)
    }
}

#[test]
fn a_request_is_held_until_etcd_has_answered() {
    let mut listener = Listener::new(&Ready::new());
    let mut stream = listener.begin(5);
    assert_eq!((listener.calls(), listener.replies().len()), (1, 0));
    // More of it comes to nothing.
    assert_eq!(stream.request_trailers(), Flow::Hold);
    assert_eq!(listener.calls(), 1);
    let (number, ticket, event) = listener.answer();
    assert_eq!(number, 5);
    let event = listener.root.tell_left(number, ticket, event).expect("its client is there");
    stream.told(ticket, event.clone());
    assert_eq!(listener.replies().len(), 1);
    assert_eq!(listener.replies()[0].status, 404);
    // Told twice, it is answered once.
    stream.told(ticket, event);
    assert_eq!(listener.replies().len(), 1);
    drop(stream);
    let nobody = BackendEvent::Waited;
    assert_eq!(listener.root.tell_left(5, ticket, nobody.clone()), Some(nobody));
}

#[test]
fn a_call_that_does_not_leave_is_told_at_once_and_one_that_fails_is_made_again() {
    let mut listener = Listener::new(&Ready::new());
    listener.process.host.0.borrow_mut().takes_rpcs = false;
    let _stream = listener.begin(1);
    let reply = listener.replies().pop().unwrap();
    assert!(String::from_utf8(reply.body).unwrap().contains("store_away"));
    listener.process.host.0.borrow_mut().takes_rpcs = true;
    let mut stream = listener.begin(2);
    let (_, ticket, _) = listener.answer();
    stream.told(ticket, BackendEvent::Rpc(RpcEvent::Failed(14)));
    // After a pause, which ends with a tick.
    let calls = listener.calls();
    let due = |listener: &Listener| listener.root.calls.due(listener.now());
    assert_eq!(due(&listener), []);
    listener.process.pass(limits::ETCD_RETRY_MS);
    let [(Asker::Request(2), ticket)] = due(&listener)[..] else { panic!("a pause of its own") };
    stream.told(ticket, BackendEvent::Waited);
    assert_eq!(listener.calls(), calls + 1);
    let (_, ticket, event) = listener.answer();
    stream.told(ticket, event);
    assert_eq!(listener.replies().len(), 2);
}

#[test]
fn what_a_client_has_left_is_brought_to_its_end_and_answered_to_nobody() {
    let mut listener = Listener::new(&Ready::new());
    drop(listener.begin(7));
    let (number, ticket, event) = listener.answer();
    assert_eq!(listener.root.tell_left(8, ticket, event.clone()), Some(event.clone()));
    assert_eq!(listener.root.tell_left(number, ticket, event.clone()), None);
    assert_eq!(listener.replies(), [], "nobody is there");
    assert_eq!(listener.root.tell_left(number, ticket, event.clone()), Some(event), "it has ended");
    // What is never answered is forgotten in time.
    drop(listener.begin(9));
    let (number, ticket, event) = listener.answer();
    listener.process.pass(limits::OPERATORS_LEFT_MS_MAX);
    listener.root.forget_left(listener.now());
    assert_eq!(listener.root.tell_left(number, ticket, event.clone()), Some(event));
    // Nor are there ever more than so many.
    for number in 0..=u32::try_from(limits::OPERATORS_LEFT_MAX).unwrap() {
        drop(listener.begin(number));
    }
    let most = u32::try_from(limits::OPERATORS_LEFT_MAX).unwrap();
    let lost = BackendEvent::Waited;
    assert_eq!(listener.root.tell_left(most, Ticket::default(), lost.clone()), Some(lost.clone()));
    assert_eq!(listener.root.tell_left(most - 1, Ticket::default(), lost), None);
}

#[test]
fn a_call_of_which_nothing_is_heard_is_given_up_and_that_is_logged() {
    listen();
    let listener = Listener::new(&Ready::new());
    let mut stream = listener.begin(1);
    assert!(!stream.is_unheard(listener.now()));
    let late = Timestamp::from_millis(listener.now().as_millis() + limits::ETCD_UNHEARD_MS);
    assert!(stream.is_unheard(late));
    lines();
    stream.give_up();
    assert_eq!(listener.replies()[0].status, 503);
    assert!(!stream.is_unheard(late), "once");
    let told = lines();
    assert!(told.len() == 1 && told[0].1.contains("proxy_on_grpc_receive"), "{told:?}");
    drop(stream);
    let waited = BackendEvent::Waited;
    let left = listener.root.tell_left(1, Ticket::default(), waited.clone());
    assert_eq!(left, Some(waited), "nothing is left of it");
}

#[test]
fn without_etcd_nothing_is_called_and_nothing_ticks() {
    let process = Process::new(&Ready::new());
    let root = AdminRoot::new(process.host.clone(), config(&json!({"local": {}}))).unwrap();
    assert!(!root.ticks());
    assert!(!process.host.0.borrow().calls.contains(&"noise"), "it begins at once");
}
