//! How far a notification is, and what each stage carries on to the next one.

use super::read::Notice;
use crate::engine::event::{After, NotificationEffect};
use crate::engine::payment::{Anomaly, DoubtEvent, DoubtEvents, Incarnation, ResolvedBy};
use crate::engine::protocol::SnapCode;
use crate::engine::store::{Alias, StoreRequest};
use crate::engine::time::Millis;

/// How far it is.
#[derive(Debug)]
pub(super) enum NoticeStage {
    /// Nothing is known yet.
    Held,
    /// Waiting for what is known of it and of its payment.
    Reading(Box<Noted>),
    /// Waiting for that to be written.
    Writing(Box<Noted>, Then),
    /// Waiting for the application's first answer.
    Replaying(Box<Noted>),
    /// With the application.
    Sent(Box<Noted>, Alias),
    /// Waiting for the answer to be kept.
    Keeping(Box<Closing>),
    /// Waiting for it to be written whether the application has confirmed it.
    Closing(Box<Closing>),
    /// Nothing more happens.
    Ended,
}

/// A notification that is verified, and what it has done.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) notice: Notice,
    pub(super) attempts: u8,
    /// The alias that this request has written or is about to.
    pub(super) own: Option<Alias>,
    pub(super) after: After,
    pub(super) anomaly: Option<Anomaly>,
    /// Whether the payment came into doubt or out of it, once that is written.
    pub(super) doubts: DoubtEvents,
}

/// What follows once everything is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The application gets it, under this mark.
    Deliver(Alias),
    /// It is with the application already, for so long at most.
    Wait(Millis),
    /// The application has confirmed it.
    Replay(Incarnation),
}

/// The application has answered, or nobody has.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) noted: Box<Noted>,
    pub(super) mark: Alias,
    pub(super) is_confirmed: bool,
    pub(super) from_application: bool,
    pub(super) status: u16,
    pub(super) code: Option<SnapCode>,
}

/// What follows from an event: the next stage, effects, and then what the store is asked.
pub(super) type NoticeStep = (NoticeStage, Vec<NotificationEffect>, Vec<StoreRequest>);

impl Noted {
    pub(super) fn new(notice: Notice) -> Self {
        Self {
            notice,
            attempts: 0,
            own: None,
            after: After::default(),
            anomaly: None,
            doubts: [None; 2],
        }
    }

    /// What operators are told, once.
    pub(super) fn take_anomaly(&mut self) -> Vec<NotificationEffect> {
        self.anomaly
            .take()
            .map(|it| NotificationEffect::Anomaly(Box::new(it)))
            .into_iter()
            .collect()
    }

    /// What is counted, once.
    pub(super) fn take_doubts(&mut self) -> impl Iterator<Item = NotificationEffect> + use<> {
        let events = std::mem::take(&mut self.doubts).into_iter().flatten();
        events.map(|event| {
            NotificationEffect::Doubt(match event {
                DoubtEvent::Opened(gateways) => DoubtEvent::Opened(gateways),
                DoubtEvent::Resolved(_) => DoubtEvent::Resolved(ResolvedBy::Notification),
            })
        })
    }
}

impl Closing {
    /// Nobody has answered.
    pub(super) fn unanswered(noted: Box<Noted>, mark: Alias) -> Box<Self> {
        Box::new(Self {
            noted,
            mark,
            is_confirmed: false,
            from_application: false,
            status: 0,
            code: None,
        })
    }

    /// Looks at what stands there; the first time it may be guessed, because the commit finds out.
    pub(super) fn write(self: Box<Self>, may_guess: bool) -> NoticeStep {
        let [_, key] = self.noted.notice.keys();
        let read = if may_guess { StoreRequest::Peek } else { StoreRequest::Read };
        (NoticeStage::Closing(self), vec![], vec![read(vec![key])])
    }
}

/// Reads where the clock leapt: time that it skipped ends no lease.
pub(super) fn begin(noted: Box<Noted>) -> NoticeStep {
    (NoticeStage::Reading(noted), vec![], vec![StoreRequest::ReadHealth])
}

/// Reads what is known of it and of its payment.
pub(super) fn read(noted: Box<Noted>) -> NoticeStep {
    let keys = noted.notice.keys().to_vec();
    (NoticeStage::Reading(noted), vec![], vec![StoreRequest::Read(keys)])
}

/// Nothing more happens.
pub(super) fn end(effects: Vec<NotificationEffect>) -> NoticeStep {
    (NoticeStage::Ended, effects, vec![])
}
