//! Whichever call of the host goes wrong: every request ends in a definite answer, nothing is let
//! go unclaimed, and no payment is executed twice afterwards.
//!
//! Each story is told once on a healthy host, which counts its calls; then again for every call
//! and every way in which that one can go wrong, alone and with all that follow.

mod admin;
mod budget;
mod census;
mod envoy;
mod fake;
mod joined;
mod lineage;
mod logged;
mod metrics;
mod operators;
mod published;
mod root;
mod unfinished;
mod wire;

use envoy::{Deed, Leaves, Process, Ready, Saw, Shape, Way, Wish};
use fake::ways;
pub(super) use fake::{Counts, FakeHost, Fault, How, Lasts};

use crate::engine::{Cell, CellRequest};
use crate::filter::stream::Flow;

/// How the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    /// In the same call.
    AtOnce,
    /// In another callback, the last question first, and twice.
    Slow,
}

/// What went before, and the request that is looked at.
struct Story {
    name: &'static str,
    before: fn(&mut Process),
    way: Way,
    /// What is seen of it on a healthy host.
    told: &'static str,
}

const PAY: Way = Way::new(Wish::Pay, Deed::Execute);
const REFUSED: Way = Way { deed: Deed::Refuse, ..PAY };
const TIMEOUT: Way = Way { deed: Deed::Timeout, ..PAY };

fn in_doubt(process: &mut Process) {
    process.go(TIMEOUT);
    process.pass(5000);
}

fn settled(process: &mut Process) {
    process.go(PAY);
}

fn refused(process: &mut Process) {
    process.go(REFUSED);
}

/// The second gateway has executed it, and nobody here knows.
fn elsewhere(process: &mut Process) {
    process.executed[1] = 1;
}

/// The second gateway has executed it; the first one may have.
fn in_doubt_of_two(process: &mut Process) {
    process.unnamed = true;
    process.go(Way { refuse: 1, ..TIMEOUT });
    process.unnamed = false;
}

fn on_trial(process: &mut Process) {
    process.trip();
    process.pass(20_000);
}

fn stories() -> Vec<Story> {
    let fresh: fn(&mut Process) = |_| {};
    let story = |name, before, way, told| Story { name, before, way, told };
    let shaped = |shape, answer| Way { shape, answer, ..PAY };
    let leaving = |leaves| Way { leaves, ..PAY };
    let ask = Way::new(Wish::Ask, Deed::Execute);
    let cancel = Way::new(Wish::Cancel, Deed::Execute);
    vec![
        story("a first payment", fresh, PAY, "relay 200 2005400"),
        story("in chunks", fresh, shaped(Shape::Chunks, Shape::Chunks), "relay 200 2005400"),
        story(
            "with trailers",
            fresh,
            shaped(Shape::Trailers, Shape::Trailers),
            "relay 200 2005400",
        ),
        story("no body", fresh, Way::new(Wish::Nothing, Deed::Execute), "reply 400 4005401"),
        story("a NO", fresh, REFUSED, "relay 403 4035414"),
        story("a page without a body", fresh, Way { deed: Deed::Page, ..PAY }, "reply 504 5045400"),
        story("a timeout", fresh, TIMEOUT, "reply 504 5045400"),
        story("a reset", fresh, Way { deed: Deed::Reset, ..PAY }, "reply 504 5045400"),
        story("a break", fresh, Way { deed: Deed::Broken, ..PAY }, "reply 504 5045400"),
        story("moved on", fresh, Way { refuse: 1, ..PAY }, "relay 200 2005400"),
        story("moved on to a NO", fresh, Way { refuse: 1, ..REFUSED }, "relay 403 4035414"),
        story("moved on to a timeout", fresh, Way { refuse: 1, ..TIMEOUT }, "reply 504 5045400"),
        story("nobody there", fresh, Way { refuse: 2, ..PAY }, "reply 503 5035400"),
        story("a repeat", in_doubt, PAY, "relay 200 2005400"),
        story("a repeat without answer", in_doubt, TIMEOUT, "reply 504 5045400"),
        story("a repeat never sent", in_doubt, Way { refuse: 1, ..PAY }, "reply 504 5045400"),
        story("a retry after a NO", refused, PAY, "relay 200 2005400"),
        story("a replay", settled, PAY, "reply 200 2005400"),
        story("a cancel", settled, Way::new(Wish::Cancel, Deed::Execute), "relay 200 2005700"),
        story(
            "a cancel in doubt",
            in_doubt,
            Way::new(Wish::Cancel, Deed::Execute),
            "relay 200 2005700",
        ),
        story("a status", in_doubt, ask, "relay 200 2005500"),
        story("a status of nothing", fresh, ask, "reply 404 4045501"),
        story("a status elsewhere", elsewhere, ask, "reply 200 2005500"),
        story("a cancel elsewhere", elsewhere, cancel, "reply 200 2005700"),
        story("a cancel of nothing", fresh, cancel, "reply 404 4045701"),
        story("a status of two", in_doubt_of_two, ask, "reply 200 2005500"),
        story("gone amid a call", elsewhere, Way { leaves: Leaves::AmidACall, ..cancel }, "left"),
        story("a trial", on_trial, PAY, "relay 200 2005400"),
        story("a trial that fails", on_trial, TIMEOUT, "reply 504 5045400"),
        story("a trial never made", on_trial, Way { refuse: 1, ..PAY }, "relay 200 2005400"),
        story("gone before its end", fresh, leaving(Leaves::BeforeItsEnd), "left"),
        story("gone before the answer", fresh, leaving(Leaves::BeforeTheAnswer), "left"),
        story("gone amid the answer", fresh, leaving(Leaves::AmidTheAnswer), "left"),
        story("gone on trial", on_trial, leaving(Leaves::BeforeTheAnswer), "left"),
    ]
}

fn show(saw: &Saw) -> String {
    let code = |body: &serde_json::Value| body["responseCode"].as_str().unwrap_or("-").to_owned();
    match saw {
        Saw::Reply(status, body) => format!("reply {status} {}", code(body)),
        Saw::Relay(status, body) => format!("relay {status} {}", code(body)),
        Saw::Left => "left".to_owned(),
        Saw::ReplyLost => "nothing: the answer was refused".to_owned(),
    }
}

/// Whether a merchant who sees this takes the payment for failed, or pays under another name.
fn denies(saw: &Saw) -> bool {
    let (Saw::Reply(status, body) | Saw::Relay(status, body)) = saw else {
        return false;
    };
    let general = body["responseCode"].as_str().is_some_and(|code| code.ends_with("00"));
    matches!(status, 400..=428 | 430..=499)
        || (*status == 500 && general)
        || body["safe_new_key"] == true
}

impl Story {
    /// A lie that nothing can see through: nobody knows of the connection that broke.
    fn is_a_lie(&self, call: &str, how: How) -> bool {
        ["a break", "gone on trial"].contains(&self.name)
            && (call, how) == ("property", How::Nothing)
    }

    /// The names of the calls that it takes, where it is not the first one since the last tick.
    fn tell_once(&self, ready: &Ready) -> Vec<&'static str> {
        let mut process = Process::new(ready);
        (self.before)(&mut process);
        let look = CellRequest::Load(Cell::Health);
        let _ = process.worker().health.cell(&process.host, look);
        process.host.0.borrow_mut().calls.clear();
        process.go(self.way);
        process.host.0.borrow().calls.clone()
    }

    /// Tells it with `fault`; the names of the calls that were made.
    fn tell(&self, ready: &Ready, store: Store, fault: Option<Fault>) -> (Saw, Vec<&'static str>) {
        let mut process = Process::new(ready);
        (self.before)(&mut process);
        process.worker().stores.slow.is_on.set(store == Store::Slow);
        process.host.0.borrow_mut().calls.clear();
        process.host.0.borrow_mut().fault = fault;
        let saw = process.go(self.way);
        process.host.0.borrow_mut().fault = None;
        let calls = process.host.0.borrow().calls.clone();
        let what = format!("{}, {fault:?} of {calls:?}", self.name);
        if fault.is_none() {
            process.check_settled(&what, self.name == "gone on trial");
        }
        assert_ne!(
            (self.way.leaves == Leaves::Never, &saw),
            (true, &Saw::Left),
            "{what}: who stays is answered"
        );
        // A request whose own body is rubbish is refused, whatever it was meant to be.
        let unread = fault.is_some_and(|fault| {
            let (body, rubbish) = (2, [How::Nothing, How::Garbage]);
            fault.from == body && rubbish.contains(&fault.how)
        });
        assert!(
            unread || !(process.is_charged() && denies(&saw)),
            "{what}: charged, and told {saw:?} under {:?}",
            process.claims()
        );
        // What was made past this process is not its to protect.
        let past_us = self.name.ends_with("elsewhere") || self.name == "gone amid a call";
        let wishes: &[Wish] = if past_us { &[Wish::Ask] } else { &[Wish::Pay, Wish::Ask] };
        afterwards(&mut process, wishes, &what);
        (saw, calls)
    }
}

/// The same payment on a healthy host, at once and after every wait.
fn afterwards(process: &mut Process, wishes: &[Wish], what: &str) {
    for wait in [1000, 5000, 40_000, 70_000, 70_000] {
        process.pass(wait);
        for wish in wishes {
            let saw = process.go(Way::new(*wish, Deed::Execute));
            assert!(matches!(saw, Saw::Reply(..) | Saw::Relay(..)), "{what}: then {saw:?}");
            let executed = process.executed;
            assert!(executed.iter().sum::<u32>() <= 1, "{what}: executed {executed:?}");
            let lies = process.is_charged() && denies(&saw);
            assert!(!lies, "{what}: then, with money taken, {saw:?}");
        }
    }
}

#[test]
fn on_a_healthy_host_the_stories_go_as_told() {
    let (ready, mut wrong) = (Ready::new(), Vec::new());
    for story in stories() {
        for store in [Store::AtOnce, Store::Slow] {
            let (saw, calls) = story.tell(&ready, store, None);
            if show(&saw) != story.told {
                wrong.push(format!("{}, {store:?}: {} after {calls:?}", story.name, show(&saw)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each story with each call going wrong in each way; how many runs that were.
fn whichever_call_fails(store: Store) -> usize {
    let (ready, mut told, mut runs) = (Ready::new(), Vec::new(), 0);
    for story in stories() {
        let (_, calls) = story.tell(&ready, store, None);
        for (at, call) in calls.iter().enumerate() {
            for how in ways(call).iter().filter(|how| !story.is_a_lie(call, **how)) {
                for lasts in [Lasts::Once, Lasts::Alike, Lasts::On] {
                    story.tell(&ready, store, Some(Fault { from: at + 1, lasts, how: *how }));
                    runs += 1;
                }
            }
        }
        told.push((story.name, calls.len()));
    }
    println!("{runs} runs over {told:?}");
    let silent = told.iter().filter(|(_, calls)| *calls < 4);
    assert!(silent.count() <= 1, "only who leaves before the end asks nothing: {told:?}");
    runs
}

#[test]
fn whichever_call_fails_every_request_ends_and_no_payment_is_made_twice() {
    let runs = whichever_call_fails(Store::AtOnce);
    assert!(runs > 3500, "{runs}");
}

#[test]
fn whichever_call_fails_of_a_slow_store_no_payment_is_made_twice() {
    let runs = whichever_call_fails(Store::Slow);
    assert!(runs > 4000, "{runs}");
}

/// What was being written goes on at the worker, and nothing stays under way.
#[test]
fn whoever_leaves_while_a_slow_store_is_asked_leaves_nothing_under_way() {
    let ready = Ready::new();
    let mut handed_off = 0;
    for before in [|_: &mut Process| {}, in_doubt, settled, refused, on_trial] {
        for answers in 0..12 {
            let mut process = Process::new(&ready);
            before(&mut process);
            let executed = process.executed;
            process.worker().stores.slow.is_on.set(true);
            let saw = process.go(Way { leaves: Leaves::AmidTheStore(answers), ..PAY });
            assert_eq!(saw, Saw::Left);
            handed_off += process.handed_off;
            assert_eq!(process.executed, executed, "nothing is sent for it");
            let is_sent = process.host.field("x-dana-cluster").is_some();
            process.check_settled(&format!("after {answers} answers"), is_sent);
            process.worker().stores.slow.is_on.set(false);
            afterwards(&mut process, &[Wish::Pay, Wish::Ask], "gone amid the store");
        }
    }
    assert!(handed_off > 5, "{handed_off}");
}

#[test]
fn headers_that_cannot_be_read_deny_nothing() {
    let mut process = Process::new(&Ready::new());
    in_doubt(&mut process);
    process.host.0.borrow_mut().calls.clear();
    let fault = Fault { from: 1, lasts: Lasts::Once, how: How::Garbage };
    process.host.0.borrow_mut().fault = Some(fault);
    let saw = process.go(PAY);
    assert!(process.is_charged() && !denies(&saw), "charged, and told {saw:?}");
}

#[test]
fn an_answer_that_is_too_long_is_held_while_the_next_gateway_is_asked() {
    let mut process = Process::new(&Ready::new());
    in_doubt_of_two(&mut process);
    let (flows, saw) = process.ask_with_a_long_answer();
    assert_eq!(flows, [Flow::Hold; 5], "let go unjudged");
    assert_eq!(show(&saw), "reply 200 2005500");
}

#[test]
fn a_label_on_a_plain_answer_says_nothing() {
    for label in ["UTF-8", "Identity", "identity", "utf8", "gzip", ""] {
        let mut process = Process::new(&Ready::new());
        let field = ("content-encoding".to_owned(), label.to_owned());
        process.host.0.borrow_mut().labels = vec![field];
        assert_eq!(show(&process.go(PAY)), "relay 200 2005400", "{label}");
        let kept = process.host.0.borrow().response_body.clone();
        assert_eq!(show(&process.go(PAY)), "reply 200 2005400", "{label}");
        let inside = process.host.0.borrow();
        let replay = inside.replies.first().unwrap();
        assert_eq!(replay.body, kept, "{label}: byte for byte");
        let labelled = replay.headers.iter().any(|(name, _)| *name == "content-encoding");
        assert!(!labelled, "{label}: what was read as JSON is plain");
    }
}
