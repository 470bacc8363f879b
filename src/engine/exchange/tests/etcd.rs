//! Whole requests whose claims stand in an etcd, with each call that goes wrong, in each way, and with
//! outages from each call on. Whatever happens: nothing is sent without its claim, nothing is sent
//! twice, a success is told after one try, and in the end nothing stays open that is over.

use super::*;
use crate::engine::store::etcd_fixture::{CallFault, FaultyEtcd, REALM, TERMS, joined_by, tick};
use crate::engine::store::{
    AnySession, BackendEvent, BackendRequest, Entry, EtcdStore, EtcdTerms, RealmMember, Stored,
};

mod moving;
mod outages;
mod single;

thread_local! {
    /// The policy and the cells of all stories: to read a configuration takes longer than a story.
    static WELL: (Rc<Policy>, MemoryStore) = {
        let world = World::new();
        (world.policy, world.store)
    };
}

/// A world in which both gateways are well.
fn well() -> World {
    let (policy, store) = WELL.with(Clone::clone);
    World {
        policy,
        now: 1_790_000_000_000,
        store,
        counters: WorkerCounters::default(),
        calls: 0,
        fault: None,
        contexts: 0,
    }
}

type Carried = Stored<Exchange, AnySession>;

const NO: &str = r#"{"responseCode":"4035414"}"#;
const NOT_FOUND: &str = r#"{"responseCode":"4045501"}"#;
const PAID: &str = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"00"}"#;
const REFUNDED: &str = r#"{"responseCode":"2005800","partnerRefundNo":"x-1"}"#;
const REFUND_UNKNOWN: &str = r#"{"responseCode":"4045801"}"#;
const CANCELLED: &str = r#"{"responseCode":"2005700","originalPartnerReferenceNo":"r-1"}"#;
const OF_REFUND: &str =
    r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"x-1"}"#;
const TOKEN: &str = "/v1.0/access-token/b2b2c.htm";
const ISSUED: &str = r#"{"responseCode":"2007400","accessToken":"t-1","tokenType":"Bearer"}"#;

/// An Envoy of one worker, and its etcd.
struct Remote {
    world: World,
    etcd: FaultyEtcd,
    store: Rc<EtcdStore>,
    member: RealmMember,
    /// From which call of a request on nobody answers, how, and for how many pauses.
    outage: Option<(usize, CallFault, usize)>,
    contexts: u32,
}

/// A request, and what became of it so far.
struct Way {
    exchange: Carried,
    todo: VecDeque<OutputOf<Carried>>,
    effects: Vec<ExchangeEffect>,
    /// Calls of etcd when the gateway's answer came, and when the client got one.
    answered_at: Option<usize>,
    told_at: Option<usize>,
    /// Before which call of etcd the client leaves.
    leaves_before: Option<usize>,
    has_left: bool,
    /// Where the payment stood when the client got its answer.
    told_in: Vec<&'static str>,
    /// How often it was let go, or a further gateway called.
    sent: usize,
    /// What it was counted as that nothing implies.
    not_implied: Vec<String>,
}

impl Remote {
    fn by(terms: EtcdTerms) -> Self {
        let world = well();
        let mut etcd =
            FaultyEtcd { cells: world.store.clone(), now: world.now, ..FaultyEtcd::default() };
        let (store, member) = joined_by(&mut etcd, "one", &["primary", "secondary"], terms);
        etcd.forget_calls();
        Self { world, etcd, store, member, outage: None, contexts: 0 }
    }

    /// The worker's own calls go well once the store is found again, and are none of the request's.
    fn tick(&mut self) {
        let faults = std::mem::take(&mut self.etcd.faults);
        let lands_before = self.etcd.lands_before.take();
        let calls = self.etcd.calls.len();
        tick(&mut self.etcd, &mut self.member);
        self.etcd.calls.truncate(calls);
        (self.etcd.faults, self.etcd.lands_before) = (faults, lands_before);
    }

    fn pass(&mut self, millis: u64) {
        self.etcd.now += millis;
        self.tick();
    }

    fn hold(&mut self, asked: &Asked) -> Way {
        let fields = asked.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<(&[u8], &[u8])> = fields.collect();
        self.contexts += 1;
        let (body, context) = (asked.body.as_bytes(), self.contexts);
        let request = Request { headers: &headers, body, peer: &[], context };
        let exchange = Exchange::new(Rc::clone(&self.world.policy));
        let mut way = Way {
            exchange: Stored::over(exchange, AnySession::new(Some(&self.store))),
            todo: VecDeque::new(),
            effects: Vec::new(),
            answered_at: None,
            told_at: None,
            leaves_before: None,
            has_left: false,
            told_in: Vec::new(),
            sent: 0,
            not_implied: Vec::new(),
        };
        self.feed(&mut way, Input::Event(ExchangeEvent::Request(request)));
        way
    }

    fn feed(&mut self, way: &mut Way, input: InputOf<'_, Carried>) {
        let now = self.etcd.time();
        way.todo.extend(way.exchange.handle(input, now, &mut self.world.counters));
    }

    /// Carries out everything that is wanted, until the gateway has to answer or all is over.
    fn go_on(&mut self, way: &mut Way) {
        let mut steps = 0;
        while let Some(output) = way.todo.pop_front() {
            steps += 1;
            assert!(steps < 10_000, "it comes to an end");
            match output {
                Output::Ask(ticket, request) => {
                    if way.leaves_before.is_some_and(|at| self.etcd.calls.len() >= at)
                        && matches!(request, BackendRequest::Rpc(_))
                        && !way.has_left
                        && !way.exchange.is_sent()
                    {
                        way.has_left = true;
                        self.feed(way, Input::Event(ExchangeEvent::ClientGone));
                    }
                    let event = self.carry_out(request);
                    self.feed(way, Input::Told(ticket, event.clone()));
                    // Whatever is told again says nothing.
                    let before = way.todo.len();
                    self.feed(way, Input::Told(ticket, event));
                    assert_eq!(way.todo.len(), before, "told twice");
                }
                Output::Do(effect) => self.carry_out_effect(way, effect),
            }
        }
    }

    fn carry_out(&mut self, request: BackendRequest) -> BackendEvent {
        if let Some((at, fault, _)) = self.outage
            && self.etcd.calls.len() >= at
        {
            self.etcd.outage = Some(fault);
        }
        let is_pause = matches!(request, BackendRequest::Wait(wait)
            if wait.get() >= limits::ETCD_PAUSE_MS);
        let event = self.etcd.carry_out(request);
        if is_pause {
            if let Some((.., pauses)) = &mut self.outage {
                *pauses = pauses.saturating_sub(1);
            }
            if matches!(self.outage, Some((.., 0))) {
                (self.outage, self.etcd.outage) = (None, None);
            }
            self.tick();
        }
        event
    }

    fn carry_out_effect(&mut self, way: &mut Way, effect: ExchangeEffect) {
        match &effect {
            ExchangeEffect::Forward(forward) => {
                assert!(!way.has_left, "sent for a client that has left");
                way.sent += 1;
                if forward.headers.iter().any(|(name, _)| name == "idempotency-key") {
                    self.check_claimed();
                }
            }
            ExchangeEffect::Call(_) => {
                assert!(!way.has_left, "asked for a client that has left");
                way.sent += 1;
            }
            ExchangeEffect::Reply(_) | ExchangeEffect::Relay { .. } => {
                assert!(!way.has_left, "told a client that has left");
                assert_eq!(way.told_at, None, "answered twice");
                way.told_at = Some(self.etcd.calls.len());
                way.told_in = self.states();
            }
            ExchangeEffect::Decided(note) => {
                way.not_implied.extend(counted::not_implied(&self.world.policy, note));
            }
            ExchangeEffect::Changed(_)
            | ExchangeEffect::Anomaly(_)
            | ExchangeEffect::Doubt(_)
            | ExchangeEffect::HandOff => {}
        }
        way.effects.push(effect);
    }

    /// Whatever is let go has a claim of this very Envoy, which says so.
    fn check_claimed(&self) {
        let under_way = self.records().into_iter().filter(|(_, claim, life)| {
            let is_under_way = match claim.state {
                ClaimState::InFlight { .. } => true,
                ClaimState::InDoubt { repeat_until, .. }
                | ClaimState::Settled { repeat_until, .. } => repeat_until.is_some(),
                ClaimState::Rejected { .. } | ClaimState::Closed { .. } => false,
            };
            is_under_way && *life == Some(self.life())
        });
        assert_eq!(under_way.count(), 1, "{:?}", self.records());
    }

    fn life(&self) -> u64 {
        let probes = self.etcd.etcd.keys().filter_map(|(key, _)| {
            let rest = key.strip_prefix(format!("{REALM}p/").as_bytes())?;
            u64::from_str_radix(str::from_utf8(rest).unwrap(), 16).ok()
        });
        probes.last().unwrap()
    }

    /// All claims, each with the letter of its place and the life of its writer.
    fn records(&self) -> Vec<(char, Claim, Option<u64>)> {
        let all = self.etcd.etcd.keys().filter_map(|(key, _)| {
            let rest = key.strip_prefix(REALM.as_bytes())?;
            let [place @ (b'o' | b's'), b'/', ..] = rest else {
                return None;
            };
            match self.etcd.etcd.record(key)? {
                (Entry::Claim(claim), by) => {
                    Some((char::from(*place), claim, by.map(|(life, _)| life)))
                }
                (Entry::Absent, _) => None,
                (entry @ (Entry::Alias(_) | Entry::Unreadable), _) => panic!("{entry:?}"),
            }
        });
        all.collect()
    }

    /// Where claims stand, by their bytes alone, and with how many header keys beside them.
    fn states(&self) -> Vec<&'static str> {
        let under_way = |claim: &Claim| match claim.state {
            ClaimState::InDoubt { repeat_until: Some(_), .. } => "repeated",
            ClaimState::Settled { repeat_until: Some(until), .. } if until != Timestamp::NEVER => {
                "asked again"
            }
            state @ (ClaimState::InFlight { .. }
            | ClaimState::Settled { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::InDoubt { .. }
            | ClaimState::Closed { .. }) => name(state),
        };
        let mut states: Vec<_> =
            self.records().iter().map(|(_, claim, _)| under_way(claim)).collect();
        states.sort_unstable();
        states.extend(self.etcd.places().iter().filter(|(place, _)| *place == 'a').map(|_| "key"));
        states
    }

    fn answer(&mut self, way: &mut Way, ending: Ending<'_>) {
        let answer = Answer {
            evidence: ending.evidence,
            endpoint: ending.endpoint,
            content_type: Some("application/json"),
            ..Answer::never_left(ending.client_waits)
        };
        way.answered_at = Some(self.etcd.calls.len());
        self.feed(way, Input::Event(ExchangeEvent::Answered(answer)));
        self.go_on(way);
    }

    /// A whole request.
    fn ask(&mut self, asked: &Asked, ending: Ending<'_>) -> Way {
        let mut way = self.hold(asked);
        self.go_on(&mut way);
        self.end(&mut way, ending);
        way
    }

    fn end(&mut self, way: &mut Way, ending: Ending<'_>) {
        let mut times = 0;
        while way.exchange.is_sent() {
            times += 1;
            assert!(times < 4, "it goes from gateway to gateway, and not for ever");
            self.answer(way, ending);
        }
        assert!(way.exchange.is_ended());
    }
}

impl Way {
    /// What the client was told: the status and the reason; or that an answer was let through.
    fn told(&self) -> String {
        let told = self.effects.iter().find_map(|effect| match effect {
            ExchangeEffect::Reply(reply) => Some(format!("{} {}", reply.status, reply.reason)),
            ExchangeEffect::Relay { .. } => Some("relayed".to_owned()),
            ExchangeEffect::Forward(_)
            | ExchangeEffect::Call(_)
            | ExchangeEffect::Changed(_)
            | ExchangeEffect::Anomaly(_)
            | ExchangeEffect::Doubt(_)
            | ExchangeEffect::Decided(_)
            | ExchangeEffect::HandOff => None,
        });
        told.unwrap_or_default()
    }
}

/// What went before, the request, and how the gateway's part of it ends.
struct Case {
    name: &'static str,
    before: fn(&mut Remote),
    asked: Asked,
    ending: Ending<'static>,
}

/// Each kind of request, in each state of its payment, with each end.
fn cases() -> Vec<Case> {
    fn nothing(_: &mut Remote) {}
    fn paid(remote: &mut Remote) {
        remote.ask(&post(CREATE, ORDER), upstream(200, OK));
        remote.pass(6000);
    }
    fn paid_elsewhere(remote: &mut Remote) {
        paid(remote);
        // Its answer was kept by another Envoy.
        remote.etcd.cells = well().store;
    }
    fn refused(remote: &mut Remote) {
        remote.ask(&post(CREATE, ORDER), upstream(403, NO));
        remote.pass(6000);
    }
    fn in_doubt(remote: &mut Remote) {
        remote.ask(&post(CREATE, ORDER), TIMEOUT.at("primary"));
        remote.pass(6000);
    }
    fn never_sent(remote: &mut Remote) {
        remote.ask(&post(CREATE, ORDER), REFUSED);
        remote.pass(6000);
    }
    fn with_token(remote: &mut Remote) {
        let asked = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
        remote.ask(&asked, upstream(200, ISSUED).at("secondary"));
        remote.pass(6000);
    }
    fn on_trial(remote: &mut Remote) {
        remote.world.trip("primary");
        remote.etcd.cells = remote.world.store.clone();
        remote.pass(20_000);
    }
    let pay = || post(CREATE, ORDER);
    let keyed = || pay().with("idempotency-key", "k-1");
    let mut cases = Vec::new();
    let mut add = |name, before: fn(&mut Remote), asked: Asked, endings: &[Ending<'static>]| {
        for ending in endings {
            cases.push(Case { name, before, asked: asked.clone(), ending: *ending });
        }
    };
    let all = [upstream(200, OK), upstream(403, NO), TIMEOUT.at("primary"), REFUSED];
    add("a payment", nothing, pay(), &all);
    add("with a header key", nothing, keyed(), &all);
    add("a payment that was given back before", never_sent, keyed(), &all);
    add("a trial", on_trial, pay(), &[upstream(200, OK), REFUSED]);
    add("a retry after a NO", refused, keyed(), &all);
    add("a repeat in doubt", in_doubt, pay(), &all);
    add("a replay", paid, pay(), &all[..1]);
    add("a replay elsewhere", paid_elsewhere, pay(), &all);
    let token = pay().with("authorization-customer", "Bearer t-1");
    add("with a token", with_token, token, &all[..2]);
    let issues = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
    add("a token", nothing, issues, &[upstream(200, ISSUED)]);
    let refund = post(REFUND, OF_REFUND);
    let refunds = [upstream(200, REFUNDED), upstream(404, REFUND_UNKNOWN), TIMEOUT, REFUSED];
    add("a refund", paid, refund.clone(), &refunds);
    add("a refund of something unknown", nothing, refund, &refunds);
    add("a cancel", paid, post(CANCEL, OF_ORDER), &[upstream(200, CANCELLED)]);
    add("a cancel in doubt", in_doubt, post(CANCEL, OF_ORDER), &[upstream(200, CANCELLED)]);
    let status = post(STATUS, OF_ORDER);
    let told = [upstream(200, PAID), upstream(404, NOT_FOUND), TIMEOUT];
    add("a status of something unknown", nothing, status.clone(), &told);
    add("a status in doubt", in_doubt, status.clone(), &told);
    add("a status of what was paid", paid, status, &told);
    add("a malformed repeat", in_doubt, post(CREATE, &ORDER.replace("IDR", "")), &all[..1]);
    cases
}

/// How a request without any fault ends: what is sent and told, where claims stand, and how many
/// calls it takes.
struct Usual {
    before: Vec<&'static str>,
    sent: usize,
    told: String,
    states: Vec<&'static str>,
    calls: usize,
    answered_at: usize,
}

/// What must be so in the end, whatever went wrong.
fn check(
    case: &Case,
    usual: &Usual,
    remote: &mut Remote,
    way: &Way,
    what: &str,
    wrong: &mut Vec<String>,
) {
    let mut check = |is_right: bool, why: &str, how: String| {
        if !is_right {
            wrong.push(format!("{what}: {why}: {how}"));
        }
    };
    let told = way.told();
    check(way.exchange.is_ended(), "it ends", String::new());
    check(way.has_left || way.told_at.is_some(), "its client is answered", told.clone());
    check(way.not_implied.is_empty(), "not implied", way.not_implied.join(", "));
    // A question may go to all, where nobody can say who has the answer.
    let asks = case.name.starts_with("a status");
    check(asks || way.sent <= usual.sent, "sent more often", way.sent.to_string());
    let expected = if way.sent == 0 { &usual.before } else { &usual.states };
    let states = remote.states();
    // A header key of a payment that was never sent may stay; it ends by itself.
    let without_keys = |states: &[&'static str]| -> Vec<&'static str> {
        states.iter().filter(|state| **state != "key").copied().collect()
    };
    let may_be_left = way.has_left || expected.is_empty();
    // A follow-up whose next gateway is not asked is free again.
    let is_free = way.has_left && way.sent > 0 && states.is_empty() && !case.is_charge();
    let is_right = is_free
        || states == *expected
        || (may_be_left && without_keys(&states) == without_keys(expected));
    check(is_right, "where claims stand", format!("{states:?}, not {expected:?}"));
    let leases = remote.etcd.places();
    let is_bounded = |(place, ends): &(char, bool)| *ends == (*place != 'o');
    check(leases.iter().all(is_bounded), "what ends", format!("{leases:?}"));
    remote.etcd.heal();
    remote.outage = None;
    remote.etcd.land();
    let after = remote.states();
    check(after == states, "what came late", format!("{after:?} after {states:?}"));
    let is_success = case.ending.evidence.status == 200;
    if way.sent > 0 && is_success && !way.has_left && case.is_charge() {
        check(told == usual.told, "a success", told.clone());
        if let (Some(answered), Some(told)) = (way.answered_at, way.told_at) {
            let most = usual.calls - usual.answered_at;
            let calls = told - answered;
            check(calls <= most, "a success waits", format!("{calls} calls, and not {most}"));
        }
    }
    if told == "relayed" && case.ending.evidence.status == 403 {
        // Of a first attempt it is true as well as long as nobody else has sent the payment, and
        // nobody does while its claim stands.
        let is_true = ["rejected", "in_flight"].iter().any(|state| way.told_in.contains(state));
        check(is_true, "a NO is told that may be none", format!("{:?}", way.told_in));
    }
}

impl Case {
    fn is_charge(&self) -> bool {
        self.asked.body == ORDER
    }

    const fn status(&self) -> u16 {
        self.ending.evidence.status
    }

    fn what(&self) -> String {
        let Ending { evidence, endpoint, .. } = &self.ending;
        format!("{}, {} from {:?} at {endpoint:?}", self.name, evidence.status, evidence.origin)
    }

    /// Everything before the request.
    fn set(&self, terms: EtcdTerms) -> Remote {
        let mut remote = Remote::by(terms);
        (self.before)(&mut remote);
        remote.etcd.forget_calls();
        remote
    }

    fn usual(&self) -> Usual {
        self.by(TERMS)
    }

    fn by(&self, terms: EtcdTerms) -> Usual {
        let mut remote = self.set(terms);
        let before = remote.states();
        let way = remote.ask(&self.asked, self.ending);
        let (told, states) = (way.told(), remote.states());
        let answered_at = way.answered_at.unwrap_or_default();
        Usual { before, sent: way.sent, told, states, calls: remote.etcd.calls.len(), answered_at }
    }
}
