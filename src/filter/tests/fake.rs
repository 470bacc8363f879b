//! A host in memory, any call of which can be made to fail.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::Expected;
use crate::engine::Reply;
use crate::engine::Timestamp;
use crate::engine::metrics::MetricKind;
use crate::engine::{Call, Probe, RpcRequest};
use crate::filter::host::{BufferedRequest, Host, HostError, Side, StoreError};
use crate::filter::pairs;
use crate::filter::stream::Flow;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum How {
    /// The host refuses, and nothing happened.
    Refused,
    /// It says so, and it happened all the same.
    Done,
    /// A value is said to have changed.
    Conflict,
    /// What is read is not there.
    Nothing,
    /// What is read is rubbish.
    Garbage,
}

/// How long it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Lasts {
    Once,
    /// For all later calls of that name.
    Alike,
    /// For all later calls.
    On,
}

/// Which calls go wrong, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(in crate::filter) struct Fault {
    pub(in crate::filter) from: usize,
    pub(in crate::filter) lasts: Lasts,
    pub(in crate::filter) how: How,
}

/// What becomes of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::filter) enum Counts {
    /// They count.
    #[default]
    Counted,
    /// None can be read.
    Withheld,
    /// Envoy's `stats_matcher` rejects them: they stay at 0, and nobody is told.
    Rejected,
}

type Fields = Vec<(String, String)>;

/// What the host holds and what it was asked to do.
#[derive(Debug, Default)]
pub(in crate::filter) struct Inside {
    pub(super) now: u64,
    pub(super) shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub(super) request: Fields,
    pub(super) request_body: Vec<u8>,
    pub(super) response: Fields,
    pub(super) response_body: Vec<u8>,
    /// What becomes of counters.
    pub(in crate::filter) counts: Counts,
    /// Header fields that every gateway adds.
    pub(super) labels: Fields,
    /// Names of metrics, and what they are.
    pub(in crate::filter) metrics: Vec<(String, u64)>,
    /// The answer to a call of ours.
    pub(super) called: Fields,
    pub(super) called_body: Vec<u8>,
    /// The cluster that is called.
    pub(super) calling: Option<String>,
    /// What the last callback of the answer told Envoy.
    pub(super) flow: Option<Flow>,
    /// By path, joined with dots.
    pub(super) properties: BTreeMap<String, Vec<u8>>,
    /// The answers that the host took.
    pub(super) replies: Vec<Reply>,
    /// Answers that it refused.
    pub(super) replies_lost: usize,
    /// What was let go from a callback that is not its own.
    pub(super) resumed: Vec<Side>,
    /// The tokens of the heartbeats that were sent. Each call has one of its own.
    pub(super) probes: Vec<u32>,
    /// Events that were handed over, and the cluster.
    pub(super) handed: Vec<(String, String)>,
    /// Calls to a store that is far away, and their clusters. The token of each is its place.
    pub(super) rpcs: Vec<(String, RpcRequest)>,
    /// Whether the host sends them.
    pub(super) takes_rpcs: bool,
    /// The calls since the count began, by name.
    pub(in crate::filter) calls: Vec<&'static str>,
    pub(in crate::filter) fault: Option<Fault>,
}

/// A handle on it: every worker of a process shares one.
#[derive(Clone, Debug, Default)]
pub(in crate::filter) struct FakeHost(pub(in crate::filter) Rc<RefCell<Inside>>);

const FAILED: HostError = HostError(10);

/// Of every call.
pub(super) const TOKEN: u32 = 7;

impl FakeHost {
    /// Notes a call, and says how it goes wrong if it does.
    fn made(&self, name: &'static str) -> Option<How> {
        let mut inside = self.0.borrow_mut();
        inside.calls.push(name);
        let number = inside.calls.len();
        let meant = |fault: &Fault| {
            let begun = number >= fault.from;
            let lasts = match fault.lasts {
                Lasts::Once => number == fault.from,
                Lasts::Alike => inside.calls.get(fault.from - 1) == Some(&name),
                Lasts::On => true,
            };
            begun && lasts
        };
        inside.fault.filter(meant).map(|fault| fault.how)
    }

    /// A call whose result nothing hangs on.
    fn attempt(&self, name: &'static str) -> Result<(), HostError> {
        self.made(name).map_or(Ok(()), |_| Err(FAILED))
    }

    /// A call that reads bytes.
    fn read(
        &self,
        name: &'static str,
        real: impl FnOnce(&Inside) -> Vec<u8>,
    ) -> Result<Vec<u8>, HostError> {
        match self.made(name) {
            None => Ok(real(&self.0.borrow())),
            Some(How::Refused | How::Done | How::Conflict) => Err(FAILED),
            Some(How::Nothing) => Ok(Vec::new()),
            Some(How::Garbage) => Ok(vec![0xff; 40]),
        }
    }
}

/// The ways in which a call of this name can go wrong.
pub(super) fn ways(name: &str) -> &'static [How] {
    match name {
        "store" => &[How::Refused, How::Done, How::Conflict],
        "load" | "property" | "headers" | "body" | "now" | "noise" | "metric" => {
            &[How::Refused, How::Nothing, How::Garbage]
        }
        _ => &[How::Refused],
    }
}

impl Host for FakeHost {
    fn now(&self) -> Result<Timestamp, HostError> {
        let fault = self.made("now");
        let now = self.0.borrow().now;
        match fault {
            None => Ok(Timestamp::from_millis(now)),
            Some(How::Refused | How::Done | How::Conflict) => Err(FAILED),
            Some(How::Nothing) => Ok(Timestamp::default()),
            // An hour ahead: a clock that stepped.
            Some(How::Garbage) => Ok(Timestamp::from_millis(now + 3_600_000)),
        }
    }

    fn noise(&self) -> Result<Vec<u8>, HostError> {
        self.read("noise", |inside| inside.now.to_le_bytes().to_vec())
    }

    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        self.read("headers", |inside| {
            let fields = match side {
                Side::Request => &inside.request,
                Side::Response => &inside.response,
                Side::Call => &inside.called,
            };
            let fields: Vec<(&str, String)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            pairs::encode(&fields)
        })
    }

    fn set_header(&self, side: Side, name: &str, value: &str) -> Result<(), HostError> {
        self.attempt("set_header")?;
        let mut inside = self.0.borrow_mut();
        let inside = &mut *inside;
        let fields = if side == Side::Request { &mut inside.request } else { &mut inside.response };
        fields.retain(|(other, _)| other != name);
        fields.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn body(&self, side: Side, bytes_max: usize) -> Result<Vec<u8>, HostError> {
        self.read("body", |inside| {
            let body = match side {
                Side::Request => &inside.request_body,
                Side::Response => &inside.response_body,
                Side::Call => &inside.called_body,
            };
            body.iter().copied().take(bytes_max).collect()
        })
    }

    fn property(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        let path = path.replace('\0', ".");
        match self.made("property") {
            None => Ok(self.0.borrow().properties.get(&path).cloned()),
            Some(How::Refused | How::Done | How::Conflict) => Err(FAILED),
            Some(How::Nothing) => Ok(None),
            Some(How::Garbage) => Ok(Some(vec![0xff; 3])),
        }
    }

    fn rpc(&self, cluster: &str, request: &RpcRequest) -> Result<u32, HostError> {
        let mut inside = self.0.borrow_mut();
        let token = u32::try_from(inside.rpcs.len()).unwrap();
        inside.rpcs.push((cluster.to_owned(), request.clone()));
        if inside.takes_rpcs { Ok(token) } else { Err(FAILED) }
    }

    fn withheld(&self) -> Option<&'static str> {
        None
    }

    fn set_property(&self, _: &str, _: &str) -> Result<(), HostError> {
        self.attempt("set_property")
    }

    fn load(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, HostError> {
        let fault = self.made("load");
        let found = self.0.borrow().shared.get(key).cloned();
        match fault {
            None => Ok(found),
            Some(How::Refused | How::Done | How::Conflict) => Err(FAILED),
            Some(How::Nothing) => Ok(None),
            Some(How::Garbage) => {
                let version = found.map_or(1, |(_, version)| version);
                Ok(Some((vec![0xff; 40], version)))
            }
        }
    }

    fn store(&self, key: &[u8], value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let fault = self.made("store");
        match fault {
            Some(How::Conflict) => return Err(StoreError::Conflict),
            Some(How::Refused | How::Nothing | How::Garbage) => {
                return Err(StoreError::Failed(FAILED));
            }
            Some(How::Done) | None => {}
        }
        let mut inside = self.0.borrow_mut();
        let version = inside.shared.get(key).map(|(_, version)| *version);
        let as_expected = match expected {
            Expected::Absent => version.is_none(),
            Expected::At(expected) => version == Some(expected),
            Expected::Any => true,
        };
        if !as_expected {
            return Err(StoreError::Conflict);
        }
        inside.shared.insert(key.to_vec(), (value.to_vec(), version.unwrap_or(0) + 1));
        if fault.is_some() { Err(StoreError::Failed(FAILED)) } else { Ok(()) }
    }

    fn reply(&self, reply: &Reply) -> Result<(), HostError> {
        let refused = self.attempt("reply");
        let mut inside = self.0.borrow_mut();
        match refused {
            Ok(()) => inside.replies.push(reply.clone()),
            Err(_) => inside.replies_lost += 1,
        }
        refused
    }

    fn resume(&self, side: Side) -> Result<(), HostError> {
        let refused = self.attempt("resume");
        let mut inside = self.0.borrow_mut();
        match refused {
            Ok(()) => inside.resumed.push(side),
            // What is held stays so, until the client gives up.
            Err(_) if side == Side::Response => inside.replies_lost += 1,
            Err(_) => {}
        }
        refused
    }

    fn probe(&self, _: &Probe) -> Result<u32, HostError> {
        self.attempt("beat")?;
        let probes = &mut self.0.borrow_mut().probes;
        let token = probes.last().map_or(100, |last| last + 1);
        probes.push(token);
        Ok(token)
    }

    fn call(&self, call: &Call, request: &BufferedRequest) -> Result<u32, HostError> {
        self.attempt("call")?;
        let mut inside = self.0.borrow_mut();
        let same = request.body == inside.request_body;
        assert!(same || inside.fault.is_some(), "the same request");
        assert!(inside.calling.replace(call.cluster.clone()).is_none(), "one call at a time");
        Ok(TOKEN)
    }

    fn hand_over(&self, cluster: &str, events: &[u8]) -> Result<u32, HostError> {
        self.attempt("hand_over")?;
        let handed = &mut self.0.borrow_mut().handed;
        handed.push((cluster.to_owned(), String::from_utf8(events.to_vec()).unwrap()));
        u32::try_from(handed.len() + 1000).map_err(|_| HostError(0))
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<u32, HostError> {
        self.attempt("define_metric")?;
        let metrics = &mut self.0.borrow_mut().metrics;
        let known = metrics.iter().position(|(other, _)| other == name);
        let number = known.unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(u32::try_from(number).unwrap())
    }

    fn increment(&self, metric: u32, by: u32) -> Result<(), HostError> {
        self.attempt("increment")?;
        if self.0.borrow().counts == Counts::Rejected {
            return Ok(());
        }
        self.0.borrow_mut().metrics[metric as usize].1 += u64::from(by);
        Ok(())
    }

    fn metric(&self, metric: u32) -> Result<u64, HostError> {
        match self.made("metric") {
            None if self.0.borrow().counts == Counts::Withheld => Err(FAILED),
            None => Ok(self.0.borrow().metrics[metric as usize].1),
            Some(How::Refused | How::Done | How::Conflict) => Err(FAILED),
            // It stands still, or is somewhere else.
            Some(How::Nothing) => Ok(0),
            Some(How::Garbage) => Ok(u64::MAX),
        }
    }

    fn take_errors(&self) -> u32 {
        0
    }

    fn record(&self, metric: u32, value: u64) -> Result<(), HostError> {
        self.attempt("record")?;
        self.0.borrow_mut().metrics[metric as usize].1 = value;
        Ok(())
    }
}
