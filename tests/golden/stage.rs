//! What a story plays on: it asks, and whatever is answered is noted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::record::{Places, Record, sample};
use crate::stories::Story;
use crate::support::client::{self, CREATE, Line, Seen, order};
use crate::support::envoy::TOKEN;
use crate::support::sandbox::Sandbox;
use crate::support::{pause, secrets, until};
use crate::world::{Cast, Side, World};

/// The partner of most requests.
pub(crate) const PARTNER: &str = "2025021312345678901234";
/// What all clients call this Envoy, whose port is another one each time.
const HOST: (&str, &str) = ("host", "dana");
const PATIENCE: Duration = Duration::from_secs(20);
const PAYMENTS: usize = 0;
const OPERATORS: usize = 1;

/// A story that was played.
pub(crate) struct Played {
    /// Each request, in its order.
    pub(crate) records: Vec<Record>,
    /// Each request that a gateway received, gateway by gateway; then the ledgers.
    pub(crate) received: Vec<Record>,
    /// The filter's metrics at the end.
    pub(crate) samples: BTreeMap<String, String>,
}

impl Played {
    /// How often each decision was made by requests of each operation.
    pub(crate) fn decisions(&self) -> BTreeMap<(String, String), u64> {
        let mut all = BTreeMap::new();
        for (name, value) in &self.samples {
            let label = |label: &str| {
                let (_, rest) = name.split_once(&format!("{label}=\""))?;
                Some(rest.split_once('"')?.0.to_owned())
            };
            if let (Some(decision), Some(operation)) = (label("decision"), label("operation")) {
                *all.entry((decision, operation)).or_default() +=
                    value.parse::<u64>().unwrap_or_default();
            }
        }
        all
    }
}

/// Plays a story by one cast.
pub(crate) fn play(story: &Story, cast: &Cast) -> Played {
    let world = World::start(cast, &(story.settings)());
    let places = Places::of(&world.sandbox);
    let mut stage =
        Stage { name: story.name, world, places, by: Side::First, asked: Vec::new(), numbers: 0 };
    (story.play)(&mut stage);
    stage.end()
}

/// Where a story plays.
pub(crate) struct Stage {
    name: &'static str,
    pub(crate) world: World,
    places: Places,
    by: Side,
    asked: Vec<(Record, String)>,
    numbers: usize,
}

impl Stage {
    /// Who answers from here on, where versions stand beside each other.
    pub(crate) fn by(&mut self, side: Side) -> &mut Self {
        self.by = side;
        self
    }

    /// The first version answers what follows.
    pub(crate) fn by_first(&mut self) -> &mut Self {
        self.by(Side::First)
    }

    /// The second version answers what follows.
    pub(crate) fn by_second(&mut self) -> &mut Self {
        self.by(Side::Second)
    }

    /// The next act, in which the other version answers, where they play in turn.
    pub(crate) fn next_act(&mut self) {
        self.world.next_act();
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.world.sandbox
    }

    /// Makes a gateway fail in this way.
    pub(crate) fn fault(&self, gateway: &str, fault: &Value) {
        self.sandbox().fault(gateway, fault);
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        for gateway in ["primary", "secondary"] {
            self.sandbox().heal(gateway);
        }
    }

    /// Waits until a metric has this sum.
    pub(crate) fn await_metric(&self, name: &str, labels: &str, sum: u64) {
        until(&format!("{name} {labels} is {sum}"), PATIENCE, || {
            (self.world.envoy.metric(name, labels) == sum).then_some(())
        });
    }

    /// Time passes that a payment or a gateway has to wait.
    pub(crate) fn pass(&self, length: Duration) {
        pause(length);
    }

    /// The id of the next request.
    pub(crate) fn next_id(&mut self) -> String {
        self.numbers += 1;
        format!("{}-{:05}", self.name, self.numbers)
    }

    /// A partner's call, with the transport ids that an SDK mints anew each time.
    pub(crate) fn call(&mut self, what: &str, path: &str, body: &Value) -> Seen {
        let external = format!("external-{:08}", self.numbers);
        let headers =
            [("x-partner-id", PARTNER), ("channel-id", "95221"), ("x-external-id", &external)];
        self.send(what, path, &headers, body.to_string().as_bytes())
    }

    /// A create order.
    pub(crate) fn pay(&mut self, what: &str, reference: &str) -> Seen {
        self.call(what, CREATE, &order(reference))
    }

    /// A POST with these headers.
    pub(crate) fn send(
        &mut self,
        what: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Seen {
        let mut all = vec![("content-type", "application/json")];
        all.extend(secrets::HEADERS);
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        self.ask(what, ("POST", path), &all, body)
    }

    /// Any request at the payments' listener.
    pub(crate) fn ask(
        &mut self,
        what: &str,
        line: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Seen {
        let id = self.next_id();
        let mut all = vec![("x-request-id", id.as_str()), HOST];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let seen = self.world.ask((self.by, PAYMENTS), line, &all, body);
        self.note(what, &seen, &id);
        seen
    }

    /// Any request at the operators' listener.
    pub(crate) fn operate(&mut self, what: &str, method: &str, path: &str, body: &Value) -> Seen {
        let (id, bearer) = (self.next_id(), format!("Bearer {TOKEN}"));
        let headers = [
            ("x-request-id", id.as_str()),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let seen = self.world.ask((self.by, OPERATORS), (method, path), &headers, body.as_bytes());
        self.note(&format!("operator: {what}"), &seen, &id);
        seen
    }

    /// Bytes as they are; they carry `id` as their `x-request-id`. Without one their line in the access
    /// log is not looked for.
    pub(crate) fn raw(&mut self, what: &str, id: &str, bytes: &[u8]) {
        let text = client::raw(self.world.payments(self.by), bytes, PATIENCE);
        self.note(what, &read(&text), id);
    }

    /// A partner's call that is under way while something else happens: until its gateway has it, at
    /// least.
    pub(crate) fn meanwhile(
        &mut self,
        what: &str,
        (path, body): (&str, &Value),
        has_it: impl Fn(&Sandbox) -> bool,
        then: impl FnOnce(&mut Self),
    ) {
        let (id, side) = (self.next_id(), self.by);
        let address = self.world.payments(side).to_owned();
        let (path, body, own) = (path.to_owned(), body.to_string(), id.clone());
        let thread = std::thread::spawn(move || {
            let headers = [("x-request-id", own.as_str()), HOST, ("x-partner-id", PARTNER)];
            Line::new().ask("POST", &address, &path, &headers, body.as_bytes())
        });
        until(what, PATIENCE, || has_it(self.sandbox()).then_some(()));
        then(self);
        let seen = thread.join().unwrap();
        self.by(side).note(what, &seen, &id);
    }

    /// Bytes of a client that leaves when `is_time`.
    pub(crate) fn leave(
        &mut self,
        what: &str,
        id: &str,
        bytes: &[u8],
        is_time: impl Fn(&Self) -> bool,
    ) {
        use std::io::Write;
        let mut socket = std::net::TcpStream::connect(self.world.payments(self.by)).unwrap();
        socket.write_all(bytes).unwrap();
        until(what, PATIENCE, || is_time(self).then_some(()));
        drop(socket);
        // Its end is noted before anything follows.
        self.world.envoy.logged(id);
        self.note(what, &Seen { status: 0, headers: Vec::new(), body: Vec::new() }, id);
    }

    /// What was answered to a request that somebody else has made with this id.
    pub(crate) fn note(&mut self, what: &str, seen: &Seen, id: &str) {
        self.world.check_server(self.by, seen.header("server"), &format!("{} {what}", self.name));
        // Why a connection broke is told in the words of the client, and by whoever was quicker.
        let mut seen = seen.clone();
        if seen.status == 0 {
            seen.body.clear();
        }
        let record = Record::of_answer(what.to_owned(), &seen);
        self.asked.push((record, id.to_owned()));
    }

    /// All that is compared.
    fn end(self) -> Played {
        let Self { world, places, asked, .. } = self;
        world.sandbox.heal("primary");
        world.sandbox.heal("secondary");
        let records = asked.into_iter().map(|(mut record, id)| {
            if !id.is_empty() {
                record.add_line(&world.envoy.logged(&id), &places);
            }
            record
        });
        let records = records.collect();
        let mut received: Vec<Record> = Vec::new();
        for gateway in ["primary", "secondary"] {
            let requests = world.sandbox.requests_since(gateway, 0);
            let all = requests.iter().map(|one| Record::of_received(gateway, one, &places));
            received.extend(all);
        }
        received.push(Record {
            what: "ledgers".to_owned(),
            fields: vec![("all".to_owned(), world.sandbox.ledger().to_string())],
        });
        await_census(&world);
        let text = client::get(&world.envoy.admin, "/stats/prometheus").body;
        let samples = String::from_utf8_lossy(&text).lines().filter_map(sample).collect();
        Played { records, received, samples }
    }
}

/// Until the store was counted twice: the first count may have begun before.
fn await_census(world: &World) {
    let counted_at = || world.envoy.metric("dana_census_timestamp_seconds", "");
    let begin = counted_at();
    until("the store is counted", PATIENCE, || (counted_at() > begin + 1).then_some(()));
}

/// An answer as it came.
fn read(text: &str) -> Seen {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Seen { status: status.parse().unwrap_or(0), headers, body: body.as_bytes().to_vec() }
}

/// The body of an operators' request that has none.
pub(crate) fn nothing() -> Value {
    json!(null)
}
