//! What was decided about a request, once, and each way in which it is told: as the request's line
//! in the access log, as the labels that it is counted by, and as its entry in the audit trail.

use std::rc::Rc;

use crate::engine::audit::{AuditEntry, Pepper};
use crate::engine::gateway::Gateways;
use crate::engine::metrics::{self, Family, PaymentOutcome};
use crate::engine::payment::{ClaimState, Money, PaymentRef};
use crate::engine::protocol::{Class, Compiled, SnapCode};
use crate::engine::time::{Millis, Timestamp};

/// What was decided about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether a merchant asked, or a gateway notified.
    pub way: Way,
    /// The operation; none for what is passed on without promises.
    pub operation: Option<Rc<Compiled>>,
    /// The payment that it makes or is about, by the front of its claim key: as much as it takes
    /// to find its record. Never the reference itself.
    pub key: Option<PaymentRef>,
    /// The payment that it is about, where it makes one of its own: a cancel or a refund.
    pub concerned: Option<PaymentRef>,
    /// What was done: `forward`, `repeat`, `replay`, or the reason of our own answer.
    pub decision: &'static str,
    /// What would have been done, where the filter only observes.
    pub would: &'static str,
    /// Where the claim stands afterwards.
    pub claim: After,
    /// The gateways meant, or those that can have answered.
    pub gateways: Gateways,
    /// Their names, as [`Policy::names`](crate::engine::config::Policy::names) has them.
    pub names: String,
    /// The gateway's response code.
    pub code: Option<SnapCode>,
    /// What the gateway's answer proves of the payment that it makes, or says of the one that it is about;
    /// empty where it says nothing.
    pub evidence: &'static str,
    /// The status of the answer that its client gets; 0 where it gets none, or Envoy's without us.
    pub status: u16,
    /// How long its gateway took, the last one where several were asked; none where nothing was sent, or where
    /// Envoy waited for another gateway first.
    pub took: Option<Millis>,
    /// When that was.
    pub at: Timestamp,
    /// Whose request it is, and what it says of itself.
    pub subject: Rc<Subject>,
}

/// Which way a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// From a merchant to a gateway.
    #[default]
    Out,
    /// From a gateway to the merchant's application: a notification.
    In,
}

/// Whose request it is, and what it says of itself. None of it is in the access log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Envoy's id of the request.
    pub request_id: String,
    /// The partner. Where the request was refused, whom it names as that.
    pub partner: String,
    /// The merchant's reference, which the answer must carry.
    pub reference: Option<String>,
    /// How much it asks for.
    pub money: Money,
}

/// Where a claim stands after the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// None where there is no claim, or where nobody knows.
    pub state: Option<ClaimState>,
    /// What was learnt could not be written.
    pub lost: bool,
}

impl After {
    /// It stands there, and that is written.
    #[must_use]
    pub const fn at(state: ClaimState) -> Self {
        Self { state: Some(state), lost: false }
    }

    /// What it is called in the access log and in metrics; empty where there is no claim.
    #[must_use]
    pub fn name(self) -> &'static str {
        if self.lost { "settle_lost" } else { self.state.map_or("", ClaimState::name) }
    }
}

impl Decision {
    /// The operation's name; empty where there is none.
    #[must_use]
    pub fn operation_name(&self) -> &str {
        self.operation.as_ref().map_or("", |compiled| compiled.operation.name.as_ref())
    }

    /// What it is counted by.
    #[must_use]
    pub const fn family(&self) -> &'static Family {
        match self.way {
            Way::Out => &metrics::REQUESTS,
            Way::In => &metrics::NOTIFICATIONS,
        }
    }

    /// The values of the labels of [`Decision::family`], in their order.
    #[must_use]
    pub fn labels(&self) -> [&str; 5] {
        let outcome = match self.way {
            Way::Out => self.outcome().map_or("", PaymentOutcome::name),
            Way::In => "",
        };
        [self.operation_name(), self.decision, self.claim.name(), &self.names, outcome]
    }

    /// How it ended for its merchant, if it moves money.
    #[must_use]
    pub fn outcome(&self) -> Option<PaymentOutcome> {
        let class = self.operation.as_ref()?.operation.class;
        if !matches!(class, Class::Charge | Class::FollowUp) {
            return None;
        }
        PaymentOutcome::of(self.decision, self.claim.name(), self.code, self.evidence)
    }
}

impl Decision {
    /// The line for the access log.
    #[must_use]
    pub fn line(&self) -> String {
        let code = self.code.map(SnapCode::digits).unwrap_or_default();
        let key = self.key.map(PaymentRef::digits).unwrap_or_default();
        let fields: [(&str, &str); 7] = [
            ("decision=", self.decision),
            (" would=", self.would),
            (" operation=", self.operation_name()),
            (" claim=", self.claim.name()),
            (" gateway=", &self.names),
            (" code=", &code),
            (" key=", &key),
        ];
        // As long as nearly all of them are. What was decided is never empty.
        let mut line = String::with_capacity(160);
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            line.extend([name, value]);
        }
        line
    }
}

impl Decision {
    /// Its entry in the audit trail. `began`: when the request was complete; `from`: its client's address;
    /// `pepper`: what references are hashed with, if they are.
    #[must_use]
    pub fn entry(&self, began: Timestamp, from: &str, pepper: Option<&Pepper>) -> AuditEntry {
        let class = self.operation.as_ref().map(|compiled| compiled.operation.class);
        let kind = match class {
            _ if self.way == Way::In => "notify",
            Some(Class::Charge) => "charge",
            Some(Class::FollowUp) => "follow_up",
            Some(Class::Inquiry) => "inquiry",
            Some(Class::State) => "state",
            None => "other",
        };
        let code = self.code.map(|code| code.to_string()).unwrap_or_default();
        self.who_and_what(AuditEntry::new(kind, self.at).text("from", from), pepper)
            .text("do", self.decision)
            .text("would", self.would)
            .text("gw", &self.names)
            .text("code", &code)
            .text("ev", self.evidence)
            .text("claim", self.claim.name())
            .number("http", self.status.into())
            .number("ms", self.at.since(began).get())
    }

    /// What is said of a payment before it goes to its gateways.
    #[must_use]
    pub fn intent(&self, pepper: Option<&Pepper>) -> AuditEntry {
        let members = AuditEntry::new("intent", self.at);
        self.who_and_what(members, pepper).text("gw", &self.names)
    }

    fn who_and_what(&self, members: AuditEntry, pepper: Option<&Pepper>) -> AuditEntry {
        let subject = &*self.subject;
        let reference = subject.reference.as_deref().unwrap_or_default();
        let hashed = pepper.map(|pepper| pepper.hash(reference));
        let key = self.key.map(|key| key.to_string()).unwrap_or_default();
        let of = self.concerned.map(|of| of.to_string()).unwrap_or_default();
        let members = members
            .text("who", &subject.partner)
            .text("rid", &subject.request_id)
            .text("op", self.operation_name())
            .text("key", &key)
            .text("of", &of)
            .text("ref", hashed.as_deref().unwrap_or(reference));
        with_money(members, &subject.money)
    }
}

/// An entry with how much money it is about.
#[inline(never)]
pub(in crate::engine) fn with_money(entry: AuditEntry, money: &Money) -> AuditEntry {
    entry.text("amt", &money.amount()).text("cur", money.letters())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gateway::GatewayId;
    use crate::engine::metrics::REQUESTS;
    use crate::engine::protocol::dana_snap;

    fn whole() -> Decision {
        let operation = dana_snap().into_iter().find(|one| one.name == "create-order").unwrap();
        let gateways = Gateways::only(GatewayId::FIRST);
        Decision {
            way: Way::Out,
            operation: Some(Rc::new(Compiled::new(operation))),
            key: Some(PaymentRef::from_bytes([0xab; PaymentRef::SIZE])),
            concerned: None,
            decision: "forward",
            would: "replay",
            claim: After::at(ClaimState::settled(gateways)),
            gateways,
            names: "primary".to_owned(),
            code: SnapCode::parse("2005400"),
            evidence: "executed",
            status: 200,
            took: Some(Millis::new(41)),
            at: Timestamp::from_millis(1_795_364_259_456),
            subject: Rc::new(Subject {
                request_id: "id-1".to_owned(),
                partner: "P1".to_owned(),
                reference: Some("ORDER-7".to_owned()),
                money: Money { minor: 1_000_005, currency: *b"IDR" },
            }),
        }
    }

    #[test]
    fn a_decision_has_an_entry() {
        let key = "ab".repeat(PaymentRef::SIZE);
        let entry = whole().entry(Timestamp::from_millis(1_795_364_259_415), "10.2.3.4:5", None);
        let expected = concat!(
            r#""t":"2026-11-22T16:17:39.456Z","e":"charge","from":"10.2.3.4:5","who":"P1","#,
            r#""rid":"id-1","op":"create-order","key":"KEY","ref":"ORDER-7","amt":"10000.05","#,
            r#""cur":"IDR","do":"forward","would":"replay","gw":"primary","code":"2005400","#,
            r#""ev":"executed","claim":"settled","http":200,"ms":41"#
        );
        assert_eq!(entry.as_str(), expected.replace("KEY", &key));
        let nothing = Decision { decision: "unmatched", ..Decision::default() };
        let entry = nothing.entry(Timestamp::default(), "", None);
        let expected =
            r#""t":"1970-01-01T00:00:00.000Z","e":"other","do":"unmatched","http":0,"ms":0"#;
        assert_eq!(entry.as_str(), expected);
    }

    #[test]
    fn a_decision_is_told_to_the_log_and_to_metrics() {
        let whole = whole();
        let key = "ab".repeat(PaymentRef::SIZE);
        assert_eq!(
            whole.line(),
            format!(
                "decision=forward would=replay operation=create-order claim=settled \
                 gateway=primary code=2005400 key={key}"
            )
        );
        let counted = "dana_requests_total;operation=create-order;decision=forward;claim=settled;\
                       gateway=primary;outcome=executed";
        assert_eq!(REQUESTS.full_name(&whole.labels()), counted);
        assert_eq!(REQUESTS.labels.len(), whole.labels().len());
    }

    #[test]
    fn what_there_is_not_is_left_out() {
        let nothing = Decision { decision: "unmatched", ..Decision::default() };
        assert_eq!(nothing.line(), "decision=unmatched");
        assert_eq!(nothing.labels(), ["", "unmatched", "", "", ""]);
    }

    #[test]
    fn what_could_not_be_written_is_said_to_be_lost_wherever_it_stands() {
        let known = whole().claim;
        for lost in [After { lost: true, ..known }, After { state: None, lost: true }] {
            assert_eq!(lost.name(), "settle_lost");
        }
        assert_eq!((known.name(), After::default().name()), ("settled", ""));
    }
}
