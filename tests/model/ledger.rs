//! What the gateways really did. Each has a ledger of its own, and none knows of the other; or they
//! share one, in which an execution at one may be known to the other only after a while.

use std::collections::BTreeMap;

use serde_json::json;

/// Two orders of different partners and a top-up, all with the same reference, and one more order of
/// the first partner with another one.
pub(crate) const PAYMENTS: usize = 4;
pub(crate) const GATEWAYS: usize = 2;

/// A payment's standing at one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Executed {
        other_amount: bool,
    },
    Cancelled,
    /// A top-up that failed is remembered.
    Failed,
}

/// What a gateway does with a request that it has no record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Executes it.
    Execute,
    /// Refuses it for good.
    Refuse,
    /// Fails, and says so.
    Fail,
    /// Has not got it yet: it is still travelling.
    Later,
}

/// An answer as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// All gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ledger {
    /// By gateway and payment.
    standings: BTreeMap<(usize, usize), Standing>,
    /// Executions ever, also of payments that were cancelled since.
    executions: BTreeMap<(usize, usize), u32>,
    /// For a shared ledger: how long the others do not know what happened at one.
    lag: Option<u64>,
    now: u64,
    /// How each standing came about, and when: what a gateway may notify of.
    history: BTreeMap<(usize, usize), Vec<(u64, Standing)>>,
    /// What others will know, and when.
    spreading: Vec<(u64, usize, usize)>,
}

/// The reference of a payment.
pub(crate) const fn reference(payment: usize) -> &'static str {
    if payment == 3 { "r-2" } else { "r-1" }
}

/// The service code of a payment's calls: paying, asking, cancelling.
pub(crate) struct Services {
    pub(crate) pay: &'static str,
    pub(crate) ask: &'static str,
    pub(crate) cancel: &'static str,
}

pub(crate) const fn services(payment: usize) -> Services {
    match payment {
        1 => Services { pay: "38", ask: "39", cancel: "57" },
        _ => Services { pay: "54", ask: "55", cancel: "57" },
    }
}

impl Ledger {
    pub(crate) fn new(lag: Option<u64>, now: u64) -> Self {
        Self { lag, now, ..Self::default() }
    }

    /// Time passes, and with it the news.
    pub(crate) fn pass(&mut self, now: u64) {
        self.now = now;
        let due = |(at, ..): &(u64, usize, usize)| *at <= now;
        let (known, rest) = std::mem::take(&mut self.spreading).into_iter().partition(due);
        self.spreading = rest;
        let known: Vec<(u64, usize, usize)> = known;
        for (_, from, payment) in known {
            if let Some(standing) = self.standing(from, payment) {
                let told = self.history(from, payment).to_vec();
                for gateway in 0..GATEWAYS {
                    self.standings.entry((gateway, payment)).or_insert(standing);
                    self.history.entry((gateway, payment)).or_insert_with(|| told.clone());
                }
            }
        }
    }

    fn note(&mut self, gateway: usize, payment: usize, standing: Standing) {
        self.stands(gateway, payment, standing);
        if let Some(lag) = self.lag {
            self.spreading.push((self.now + lag, gateway, payment));
            self.pass(self.now);
        }
    }

    fn stands(&mut self, gateway: usize, payment: usize, standing: Standing) {
        let before = self.standings.insert((gateway, payment), standing);
        if before != Some(standing) {
            self.history.entry((gateway, payment)).or_default().push((self.now, standing));
        }
    }

    /// What a gateway knows of a payment, from the first to the last, and since when.
    pub(crate) fn history(&self, gateway: usize, payment: usize) -> &[(u64, Standing)] {
        self.history.get(&(gateway, payment)).map_or(&[], Vec::as_slice)
    }

    /// How often a payment was executed, anywhere.
    pub(crate) fn executions(&self, payment: usize) -> u32 {
        (0..GATEWAYS).filter_map(|gateway| self.executions.get(&(gateway, payment))).sum()
    }

    pub(crate) fn standing(&self, gateway: usize, payment: usize) -> Option<Standing> {
        self.standings.get(&(gateway, payment)).copied()
    }

    /// The gateways that ever executed a payment.
    pub(crate) fn executed_at(&self, payment: usize) -> Vec<usize> {
        (0..GATEWAYS).filter(|gateway| self.executions.contains_key(&(*gateway, payment))).collect()
    }

    /// Whether money is taken for a payment, anywhere.
    pub(crate) fn is_charged(&self, payment: usize) -> bool {
        (0..GATEWAYS).any(|gateway| {
            matches!(self.standing(gateway, payment), Some(Standing::Executed { .. }))
        })
    }

    /// Whether a copy that arrives now would be executed.
    pub(crate) fn would_execute(&self, gateway: usize, payment: usize) -> bool {
        self.standing(gateway, payment).is_none()
    }

    /// The answer to an executed payment, the same for every repeat.
    pub(crate) fn success(gateway: usize, payment: usize) -> String {
        let pay = services(payment).pay;
        json!({
            "responseCode": format!("200{pay}00"),
            "partnerReferenceNo": reference(payment),
            "referenceNo": format!("d-{gateway}-{payment}"),
        })
        .to_string()
    }

    fn code(http: u16, service: &str, case: u8) -> Wire {
        let body = json!({"responseCode": format!("{http}{service}{case:02}")});
        Wire { status: http, body: body.to_string() }
    }

    /// A payment arrives. A repeat with the same reference is not executed twice.
    pub(crate) fn pay(
        &mut self,
        gateway: usize,
        payment: usize,
        other_amount: bool,
        deed: Deed,
    ) -> Wire {
        let pay = services(payment).pay;
        let at = (gateway, payment);
        match (self.standing(gateway, payment), deed) {
            (Some(Standing::Executed { other_amount: before }), _) => {
                if before == other_amount {
                    // A shared ledger knows who executed it.
                    let own = self.lag.map_or(gateway, |_| self.executed_at(payment)[0]);
                    Wire { status: 200, body: Self::success(own, payment) }
                } else {
                    Self::code(404, pay, 18)
                }
            }
            (Some(Standing::Cancelled), _) => Self::code(404, pay, 4),
            (Some(Standing::Failed), _) => Self::code(500, pay, 0),
            (None, Deed::Execute) => {
                self.note(gateway, payment, Standing::Executed { other_amount });
                *self.executions.entry(at).or_default() += 1;
                Wire { status: 200, body: Self::success(gateway, payment) }
            }
            (None, Deed::Refuse) => Self::code(403, pay, 14),
            (None, Deed::Fail) => {
                if pay == "38" {
                    self.note(gateway, payment, Standing::Failed);
                }
                Self::code(500, pay, 0)
            }
            (None, Deed::Later) => Self::code(202, pay, 0),
        }
    }

    pub(crate) fn ask(&self, gateway: usize, payment: usize) -> Wire {
        let ask = services(payment).ask;
        let latest = match self.standing(gateway, payment) {
            None => return Self::code(404, ask, 1),
            Some(Standing::Executed { .. }) => "00",
            Some(Standing::Cancelled) => "05",
            Some(Standing::Failed) => "06",
        };
        let body = json!({
            "responseCode": format!("200{ask}00"),
            "originalPartnerReferenceNo": reference(payment),
            "latestTransactionStatus": latest,
        });
        Wire { status: 200, body: body.to_string() }
    }

    pub(crate) fn cancel(&mut self, gateway: usize, payment: usize) -> Wire {
        let cancel = services(payment).cancel;
        match self.standing(gateway, payment) {
            None | Some(Standing::Failed) => Self::code(404, cancel, 1),
            Some(Standing::Executed { .. } | Standing::Cancelled) => {
                // Of a shared ledger all learn it at once.
                let is_shared = self.lag.is_some();
                for other in (0..GATEWAYS).filter(|other| *other == gateway || is_shared) {
                    self.stands(other, payment, Standing::Cancelled);
                }
                let body = json!({
                    "responseCode": format!("200{cancel}00"),
                    "originalPartnerReferenceNo": reference(payment),
                });
                Wire { status: 200, body: body.to_string() }
            }
        }
    }
}
