//! An operator's dealings with the store in shared data.

use super::bucket::Bucket;
use super::placement::Placement;
use crate::engine::audit::PublishedHeads;
use crate::engine::health::Health;
use crate::engine::machine::{Ticket, Tickets};
use crate::engine::payment::{ClaimRules, KeyFront};
use crate::engine::store::cell::{Cell, CellEvent, CellRequest, Expected, Loaded};
use crate::engine::store::census::Census;
use crate::engine::store::contract::Version;
use crate::engine::store::conversation::{Conversation, Outbox};
use crate::engine::store::etcd::workers::RealmWorkers;
use crate::engine::store::layout::{Layout, LayoutError};
use crate::engine::store::operators::{Found, OperatorEvent, OperatorRequest};
use crate::engine::time::Timestamp;

/// What it works by.
#[derive(Clone, Copy, Debug)]
pub struct OperatorTerms<'a> {
    /// Now.
    pub now: Timestamp,
    /// The delays that tell which times cannot be, once the layout is known.
    pub rules: Option<&'a ClaimRules>,
}

/// One operator's request and the store. It asks one thing at a time.
#[derive(Debug, Default)]
pub struct OperatorSession {
    doing: Option<(Ticket, LookupState)>,
    layout: Option<Box<Layout>>,
    /// Where the census says that it stands, which is read once.
    listed: Option<u32>,
    /// The bucket in which something was found.
    found: Option<(u32, Bucket, Expected)>,
    asked: Tickets,
}

#[derive(Debug)]
enum LookupState {
    ReadingLayout,
    ReadingHealth,
    ReadingCensus,
    ReadingLinks,
    ReadingHeads,
    Writing,
    /// Reading the census, which says where the record stands.
    Listing(KeyFront),
    Finding(KeyFront),
}

enum LookupStep {
    Cell(LookupState, CellRequest),
    Done(OperatorEvent),
}

impl Conversation for OperatorSession {
    type Ask = OperatorRequest;
    type Told = OperatorEvent;
    type Request = CellRequest;
    type Event = CellEvent;
    type Terms<'a> = OperatorTerms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: OperatorRequest,
        _: &OperatorTerms<'_>,
        outbox: &mut Outbox<CellRequest, OperatorEvent, E>,
    ) {
        self.take_question(ticket, ask, outbox);
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<CellRequest, OperatorEvent, E>,
    ) {
        self.take_cell(ticket, event, terms, outbox);
    }
}

/// Whatever else a host is asked, cells are among it.
impl OperatorSession {
    pub(in crate::engine::store) fn take_question<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        ask: OperatorRequest,
        outbox: &mut Outbox<R, OperatorEvent, E>,
    ) {
        let step = self.begin(ask);
        self.step(ticket, step, outbox);
    }

    pub(in crate::engine::store) fn take_cell<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<R, OperatorEvent, E>,
    ) {
        if self.asked.close(ticket)
            && let Some((ticket, doing)) = self.doing.take()
        {
            let step = self.go_on(doing, event, terms);
            self.step(ticket, step, outbox);
        }
    }

    /// What is fixed for the life of the store in shared data, once it was read.
    pub(in crate::engine::store) fn layout(&self) -> Option<&Layout> {
        self.layout.as_deref()
    }

    fn step<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        step: LookupStep,
        outbox: &mut Outbox<R, OperatorEvent, E>,
    ) {
        match step {
            LookupStep::Cell(doing, request) => {
                self.doing = Some((ticket, doing));
                self.asked.forget();
                outbox.ask(self.asked.open(), request.into());
            }
            LookupStep::Done(event) => outbox.tell(ticket, event),
        }
    }

    fn begin(&mut self, request: OperatorRequest) -> LookupStep {
        match request {
            OperatorRequest::Layout => load(LookupState::ReadingLayout, Cell::Layout),
            OperatorRequest::Health => load(LookupState::ReadingHealth, Cell::Health),
            OperatorRequest::Census => load(LookupState::ReadingCensus, Cell::Census),
            OperatorRequest::Links => load(LookupState::ReadingLinks, Cell::Realm),
            OperatorRequest::Heads => load(LookupState::ReadingHeads, Cell::AuditPublished),
            OperatorRequest::WriteHealth(health, version) => {
                let (bytes, expected) = (health.encode(), version.expected());
                LookupStep::Cell(
                    LookupState::Writing,
                    CellRequest::Store { cell: Cell::Health, bytes, expected },
                )
            }
            OperatorRequest::Find(front) => match (front.reference(), self.placement()) {
                (_, None) => LookupStep::Done(OperatorEvent::Failed),
                (Some(payment), Some(placement)) => {
                    load(LookupState::Finding(front), Cell::Claims(placement.bucket(payment)))
                }
                (None, Some(_)) => match self.listed {
                    Some(bucket) => load(LookupState::Finding(front), Cell::Claims(bucket)),
                    None => load(LookupState::Listing(front), Cell::Census),
                },
            },
            OperatorRequest::Replace(key, claim) => match self.found.take() {
                Some((number, mut bucket, expected)) => {
                    if !bucket.replace(&key, &claim) {
                        return LookupStep::Done(OperatorEvent::Failed);
                    }
                    let (cell, bytes) = (Cell::Claims(number), bucket.into_bytes());
                    LookupStep::Cell(
                        LookupState::Writing,
                        CellRequest::Store { cell, bytes, expected },
                    )
                }
                None => LookupStep::Done(OperatorEvent::Failed),
            },
        }
    }

    fn go_on(
        &mut self,
        doing: LookupState,
        event: CellEvent,
        terms: &OperatorTerms<'_>,
    ) -> LookupStep {
        let loaded = match event {
            CellEvent::Loaded(cell, loaded) => (cell, loaded),
            CellEvent::Stored(_) => return LookupStep::Done(OperatorEvent::Written),
            CellEvent::Conflict(_) => return LookupStep::Done(OperatorEvent::Conflict),
            CellEvent::Failed(_) => return LookupStep::Done(OperatorEvent::Failed),
        };
        let (cell, Loaded { bytes, version }) = loaded;
        match doing {
            LookupState::ReadingLayout => {
                LookupStep::Done(OperatorEvent::Layout(self.read_layout(&bytes)))
            }
            LookupState::ReadingHealth => {
                let health = Health::read(&bytes).map(Box::new);
                LookupStep::Done(OperatorEvent::Health(health, Version::of(version)))
            }
            LookupState::ReadingCensus => {
                LookupStep::Done(OperatorEvent::Census(Census::decode(&bytes).map(Box::new)))
            }
            LookupState::ReadingLinks => {
                LookupStep::Done(OperatorEvent::Links(Box::new(RealmWorkers::decode(&bytes))))
            }
            LookupState::ReadingHeads => {
                LookupStep::Done(OperatorEvent::Heads(PublishedHeads::decode(&bytes)))
            }
            LookupState::Writing => LookupStep::Done(OperatorEvent::Failed),
            LookupState::Listing(front) => {
                let census = Census::decode(&bytes).unwrap_or_default();
                let mut listed = census.find_front(&front);
                match (listed.next(), listed.next()) {
                    (Some(only), None) => {
                        load(LookupState::Finding(front), Cell::Claims(only.bucket))
                    }
                    (Some(_), Some(_)) => LookupStep::Done(OperatorEvent::Found(Found::Several)),
                    (None, _) => LookupStep::Done(OperatorEvent::Found(Found::NotListed)),
                }
            }
            LookupState::Finding(front) => LookupStep::Done(OperatorEvent::Found(match cell {
                Cell::Claims(number) => self.find(&front, number, bytes, version, terms),
                Cell::Layout
                | Cell::Health
                | Cell::Body(_)
                | Cell::Census
                | Cell::Workers
                | Cell::Realm
                | Cell::Lineages
                | Cell::AuditWriters
                | Cell::AuditHead(_)
                | Cell::AuditPublished => Found::Unreadable,
            })),
        }
    }

    fn read_layout(&mut self, bytes: &[u8]) -> Result<Option<Box<Layout>>, LayoutError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let layout = Box::new(Layout::decode(bytes)?);
        self.layout = Some(layout.clone());
        Ok(Some(layout))
    }

    fn placement(&self) -> Option<Placement> {
        self.layout.as_ref().map(|layout| layout.placement())
    }

    /// Times that the clock was put back from are mended on the way. That is written with what
    /// replaces a record, or else by whoever counts the store.
    fn find(
        &mut self,
        front: &KeyFront,
        number: u32,
        bytes: Vec<u8>,
        version: Expected,
        terms: &OperatorTerms<'_>,
    ) -> Found {
        let Some(mut bucket) = Bucket::decode(bytes) else {
            return Found::Unreadable;
        };
        if let Some(rules) = terms.rules {
            let _ = bucket.mend(terms.now, rules);
        }
        let records = bucket.find_front(front).collect();
        self.found = Some((number, bucket, version));
        Found::Records(records)
    }
}

const fn load(doing: LookupState, cell: Cell) -> LookupStep {
    LookupStep::Cell(doing, CellRequest::Load(cell))
}
