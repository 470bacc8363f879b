//! Payments of each kind that is wrong, and of each that is not and looks like it.

use serde_json::{Value, json};

/// What everybody says of one payment.
#[derive(Default)]
pub(super) struct Payment {
    pub(super) reference: String,
    /// Entries of the audit trail, without what they share.
    pub(super) entries: Vec<Value>,
    /// Lines of a gateway's report: gateway, type, amount, currency, number.
    pub(super) reports: Vec<(usize, &'static str, &'static str, &'static str, String)>,
    /// The ledger's status and amount.
    pub(super) ledger: Option<(&'static str, &'static str)>,
    /// Whether the ledger has a line of it only where it says so; else it has one of what is reported.
    pub(super) is_apart: bool,
    /// How often Envoy's log says that it goes.
    pub(super) intents: u64,
    /// How it stands.
    pub(super) states: Vec<&'static str>,
}

pub(super) const AMOUNT: &str = "10000.00";
pub(super) const GATEWAYS: [&str; 2] = ["primary", "secondary"];
pub(super) const EARLY: &str = "2026-11-28T10:00:00.000Z";
pub(super) const LATE: &str = "2026-11-29T10:00:00.000Z";
pub(super) const UNTIL: &str = "2026-11-29T00:00:00Z";

pub(super) fn key(number: u64) -> String {
    format!("{number:032x}00000000")
}

/// A charge's entry.
pub(super) fn charge(gateway: &str, ev: &str, claim: &str, at: &str) -> Value {
    json!({"t": at, "e": "charge", "do": "forward", "gw": gateway, "ev": ev, "claim": claim})
}

impl Payment {
    pub(super) fn new(name: &str) -> Self {
        Self { reference: name.to_owned(), ..Self::default() }
    }

    pub(super) fn executed(name: &str, gateway: usize) -> Self {
        Self::new(name).with(charge(GATEWAYS[gateway], "executed", "settled", EARLY))
    }

    pub(super) fn with(mut self, entry: Value) -> Self {
        self.entries.push(entry);
        self
    }

    pub(super) fn reported(self, gateway: usize) -> Self {
        let number = format!("G{gateway}-{}", self.reference);
        self.line(gateway, "PAYMENT", AMOUNT, "IDR", &number)
    }

    pub(super) fn line(
        mut self,
        gateway: usize,
        kind: &'static str,
        amount: &'static str,
        currency: &'static str,
        number: &str,
    ) -> Self {
        self.reports.push((gateway, kind, amount, currency, number.to_owned()));
        self
    }

    pub(super) fn booked(mut self, status: &'static str) -> Self {
        (self.ledger, self.is_apart) = (Some((status, AMOUNT)), true);
        self
    }

    pub(super) fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    pub(super) fn is(mut self, states: &[&'static str]) -> Self {
        self.states = states.to_vec();
        self
    }
}

pub(super) fn doubt() -> Value {
    charge("primary", "doubtful", "in_doubt", EARLY)
}

pub(super) fn inquiry(ev: &str, claim: &str) -> Value {
    json!({"t": EARLY, "e": "inquiry", "do": "forward", "gw": "primary", "ev": ev, "claim": claim})
}

pub(super) fn notified_by(gateway: &str, ev: &str, claim: &str) -> Value {
    json!({"t": EARLY, "e": "notify", "do": "deliver", "gw": gateway, "ev": ev, "claim": claim})
}

pub(super) fn notified(ev: &str, claim: &str) -> Value {
    notified_by("primary", ev, claim)
}

pub(super) fn resolve(claim: &str) -> Value {
    json!({"t": EARLY, "e": "resolve", "claim": claim, "gw": "primary"})
}

pub(super) fn refund(name: &str, amount: &str) -> Value {
    json!({
        "t": EARLY, "e": "follow_up", "op": "refund", "ref": name, "amt": amount, "ev": "executed",
        "claim": "settled", "gw": "primary", "of": true,
    })
}

pub(super) fn executed(name: &str, gateway: usize) -> Payment {
    Payment::executed(name, gateway)
}

/// One of each kind that is wrong, and of each that is not and looks like it.
pub(super) fn kinds() -> Vec<Payment> {
    [charges(), refunds_and_doubts(), ledgers(), well(), well_too()].into_iter().flatten().collect()
}

/// Who was charged, and how often.
pub(super) fn charges() -> Vec<Payment> {
    vec![
        executed("DOUBLE", 0).reported(0).reported(1).booked("paid").is(&["double charged"]),
        // Its report is not there yet, and the filter has found out.
        executed("DOUBLE-NOTIFIED", 0)
            .with(json!({"t": EARLY, "e": "anomaly", "rule": "executed_twice", "gw": "secondary"}))
            .reported(0)
            .is(&["double charged"]),
        executed("DOUBLE-AT-ONE", 0)
            .reported(0)
            .line(0, "PAYMENT", AMOUNT, "IDR", "another")
            .is(&["double charged"]),
        Payment::new("ORPHAN")
            .with(charge("primary", "no", "rejected", EARLY))
            .reported(0)
            .is(&["orphan charge"]),
        Payment::new("UNKNOWN").reported(1).is(&["missing in audit"]),
        executed("NOWHERE", 1).booked("paid").is(&["missing at gateway"]),
        Payment::new("PHANTOM")
            .with(charge("primary", "no", "rejected", EARLY))
            .booked("paid")
            .is(&["phantom success"]),
        Payment::new("PHANTOM-TOO").booked("paid").is(&["phantom success"]),
        executed("ELSEWHERE", 0).reported(1).is(&["wrong channel"]),
        executed("LESS", 0).line(0, "PAYMENT", "9999.99", "IDR", "less").is(&["amount mismatch"]),
        executed("DOLLARS", 0)
            .line(0, "PAYMENT", AMOUNT, "USD", "dollars")
            .is(&["currency mismatch"]),
    ]
}

/// What was given back, and what is in doubt.
pub(super) fn refunds_and_doubts() -> Vec<Payment> {
    vec![
        executed("GIVEN-BACK", 0)
            .reported(0)
            .line(0, "REFUND", "100.00", "IDR", "r1")
            .is(&["refunded without refund"]),
        executed("NOT-GIVEN-BACK", 0)
            .with(refund("R-1", "100.00"))
            .reported(0)
            .is(&["refund missing at gateway"]),
        executed("TOO-MUCH", 0)
            .with(refund("R-2", "10000.01"))
            .reported(0)
            .line(0, "REFUND", "10000.01", "IDR", "r2")
            .is(&["refund beyond payment"]),
        Payment::new("DOUBT").with(doubt()).is(&["in doubt"]),
        Payment::new("DOUBT-PAID").with(doubt()).reported(0).is(&["in doubt, executed"]),
        Payment::new("WORD-AGAINST")
            .with(doubt())
            .with(resolve("rejected"))
            .reported(0)
            .is(&["orphan charge", "resolved against evidence"]),
        Payment { intents: 1, ..Payment::new("INTENT") }.is(&["asked for"]),
        Payment { intents: 2, ..Payment::new("INTENT-AGAIN") }
            .with(charge("primary", "no", "rejected", EARLY))
            .is(&["asked for"]),
    ]
}

/// The ledger, and what the reports cannot tell apart.
pub(super) fn ledgers() -> Vec<Payment> {
    vec![
        executed("NOT-BOOKED", 0).reported(0).apart().is(&["not in ledger"]),
        executed("BOOKED-AS-FAILED", 0).reported(0).booked("failed").is(&["not in ledger"]),
        executed("BOOKED-TWICE", 0).reported(0).booked("paid twice").is(&["booked twice"]),
        executed("AT-BOTH", 0)
            .with(charge("secondary", "executed", "settled", EARLY))
            .reported(0)
            .is(&["double charged"]),
        executed("SHARED", 0)
            .with(json!({"t": EARLY, "e": "charge", "do": "forward", "gw": "primary", "ev": "executed", "claim": "settled", "key": key(77)}))
            .reported(0)
            .is(&["ambiguous reference"]),
        executed("ROGUE-REFUND", 0)
            .with(refund("R-5", "100.00"))
            .with(refund("R-5", "100.00"))
            .reported(0)
            .line(0, "REFUND", "100.00", "IDR", "r5")
            .line(0, "REFUND", "100.00", "IDR", "r6")
            .is(&["refunded without refund"]),
        executed("REFUND-FAILED", 0)
            .with(refund("R-6", "100.00"))
            .reported(0)
            .line(0, "REFUND FAILED", "100.00", "IDR", "r7")
            .is(&["refund missing at gateway"]),
        Payment::new("POLLED").with(doubt()).with(json!({"t": LATE, "e": "inquiry", "do": "forward", "gw": "primary", "claim": "in_doubt"})).is(&["in doubt"]),
        Payment::new("UNCLEAR").with(doubt()).with(json!({"t": EARLY, "e": "resolve", "claim": "closed", "do": "unclear"})).is(&["in doubt"]),
        Payment::new("").reported(0).apart().is(&["missing in audit", "not in ledger"]),
        Payment::new("THIRD").with(charge("third", "executed", "settled", EARLY)).is(&["no report"]),
        Payment::new("THIRD-DOUBT").with(charge("third", "doubtful", "in_doubt", EARLY)).is(&["in doubt"]),
    ]
}

/// What is well, and looks as if it were not.
pub(super) fn well() -> Vec<Payment> {
    vec![
        // What is well.
        executed("YOUNG", 0).is(&["missing at gateway"]),
        Payment::new("LATE").with(charge("primary", "executed", "settled", LATE)).booked("paid").is(&["expected"]),
        Payment::new("LATE-DOUBT").with(charge("primary", "doubtful", "in_doubt", LATE)).is(&["expected"]),
        executed("TWICE-REPORTED", 0).reported(0).reported(0).is(&["matched"]),
        executed("REPLAYED", 1)
            .with(json!({"t": EARLY, "e": "charge", "do": "replay", "gw": "secondary", "claim": "settled"}))
            .reported(1)
            .booked("paid")
            .is(&["matched"]),
        Payment::new("ASKED").with(doubt()).with(inquiry("executed", "settled")).reported(0).is(&["matched"]),
        Payment::new("NOTIFIED").with(doubt()).with(notified("executed", "settled")).reported(0).is(&["matched"]),
        // Over another channel than the payment went, before its answer and after it.
        executed("NOTIFIED-ELSEWHERE", 0).with(notified_by("secondary", "executed", "settled")).reported(0).is(&["matched"]),
        Payment::new("NOTIFIED-BEFORE")
            .with(notified_by("secondary", "executed", "settled"))
            .with(charge("primary", "executed", "settled", EARLY))
            .reported(0)
            .is(&["matched"]),
        executed("NOTIFIED-OTHERWISE", 0).with(notified_by("secondary", "failed", "settled")).reported(0).is(&["matched"]),
        Payment::new("NOTIFIED-NO").with(doubt()).with(notified("cancelled", "closed")).is(&["not executed"]),
        Payment::new("ASKED-NO").with(doubt()).with(inquiry("failed", "closed")).is(&["not executed"]),
        Payment::new("FAILED-OVER")
            .with(charge("primary", "never_sent", "", EARLY))
            .with(charge("secondary", "executed", "settled", EARLY))
            .reported(1)
            .is(&["matched"]),
        executed("REFUNDED", 0)
            .with(refund("R-3", "2500.00"))
            .with(refund("R-4", "7500.00"))
            .reported(0)
            .line(0, "REFUND", "2500.00", "IDR", "r3")
            .line(0, "REFUND", "-7500.00", "IDR", "r4")
            .is(&["matched"]),
        Payment::new("WORD").with(doubt()).with(resolve("settled")).reported(0).is(&["matched"]),
        Payment::new("WORD-NO").with(doubt()).with(resolve("rejected")).is(&["not executed"]),
    ]
}

/// The same of what came more than once, or out of order.
pub(super) fn well_too() -> Vec<Payment> {
    vec![
        executed("REFUND-REPEATED", 0)
            .with(refund("R-7", "100.00"))
            .with(refund("R-7", "100.00"))
            .reported(0)
            .line(0, "REFUND", "100.00", "IDR", "r8")
            .is(&["matched"]),
        executed("CANCELLED", 0)
            .with(json!({"t": EARLY, "e": "follow_up", "op": "cancel", "ev": "executed", "claim": "settled", "gw": "primary", "of": true}))
            .reported(0)
            .line(0, "REFUND", AMOUNT, "IDR", "r9")
            .is(&["matched"]),
        // The newest file may be read first.
        Payment::new("TWO-WORDS")
            .with(json!({"t": LATE, "e": "resolve", "claim": "settled", "gw": "primary"}))
            .with(resolve("rejected"))
            .with(doubt())
            .reported(0)
            .is(&["matched"]),
        Payment::new("TWO-ENVOYS")
            .with(json!({"t": "2026-11-28T10:00:00.900Z", "e": "charge", "do": "forward", "gw": "primary", "ev": "doubtful", "claim": "in_doubt"}))
            .with(json!({"t": "2026-11-28T10:00:00.100Z", "e": "charge", "do": "forward", "gw": "primary", "ev": "no", "claim": "rejected"}))
            .is(&["in doubt"]),
        executed("REFUSED-OTHER", 0)
            .with(json!({"t": LATE, "e": "charge", "do": "mismatch", "amt": "1.00", "claim": "settled"}))
            .reported(0)
            .is(&["matched"]),
        Payment { intents: 1, ..executed("INTENT-DONE", 0) }.reported(0).is(&["matched"]),
        Payment::new("REFUSED").with(json!({"t": EARLY, "e": "charge", "do": "no_gateway"})).booked("failed").is(&["not executed"]),
    ]
}
