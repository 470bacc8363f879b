//! What a request does, known by its path: the operation table.
//!
//! All DANA calls are POST, also the pure queries, so the method tells nothing.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::json::{Extractor, Pointer};

mod dana;

pub use dana::dana_snap;

/// What happens to a request of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Moves money: claimed before it is sent, to at most one gateway.
    Charge,
    /// Moves money of an earlier payment (cancel, refund): as a charge, and at that payment's
    /// gateway.
    FollowUp,
    /// Reads: a status follows the pin of its payment, others go to any gateway that works.
    Inquiry,
    /// Changes something that is not money (tokens, bindings): never repeated by us.
    State,
}

/// Whether an attempt with an unknown outcome may be sent to its gateway once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Yes: the gateway recognises the reference and executes once.
    ByReference,
    /// No: ask for the status instead.
    Never,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Yes.
    Enforce,
    /// No: every request goes to the first gateway as if there were no filter, and what would have
    /// been decided is written down.
    Observe,
}

/// Where the identity of a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// In these members of the body, all of which must be non-empty strings.
    Body(Vec<Pointer>),
    /// In the `Idempotency-Key` header.
    Header,
}

/// The payment that a follow-up or a status inquiry concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerns {
    /// Namespace of that payment.
    pub namespace: Cow<'static, str>,
    /// Members of this request that hold that payment's identity.
    pub identity: Vec<Pointer>,
}

/// The member that ties an answer to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it stands, in both.
    pub pointer: Pointer,
    /// Whether DANA's documents oblige the answer to carry it. Where they don't, its absence
    /// proves nothing against the answer; another value always does.
    pub obliged: bool,
}

/// How an answer's `latestTransactionStatus` is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusTable {
    /// Orders of payment gateway and widget: 01 and 02 prove that the order exists.
    Order,
    /// Top-up and transfer: 01 to 03 are pending.
    Disbursement,
}

/// One line of the operation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Name in logs and metrics.
    pub name: Cow<'static, str>,
    /// End of the path, without `.htm`, beginning with a slash.
    pub path: Cow<'static, str>,
    /// What happens to it.
    pub class: Class,
    /// The space of names its identity lives in. Two paths with one namespace make one payment of
    /// one identity.
    pub namespace: Cow<'static, str>,
    /// What names the payment.
    pub identity: Identity,
    /// What request and answer must agree on before an answer counts as success.
    pub reference: Option<Reference>,
    /// The payment that this request is about, where it is not its own.
    pub concerns: Option<Concerns>,
    /// Members that make it another payment when they change.
    pub fingerprint: Vec<Pointer>,
    /// Amount and currency, for the record.
    pub amount: Option<(Pointer, Pointer)>,
    /// SNAP service codes that an answer may carry.
    pub service_codes: Vec<Cow<'static, str>>,
    /// How to read a status, for inquiries that tell one.
    pub status: Option<StatusTable>,
    /// Where the client may ask for the outcome.
    pub inquiry_path: Option<Cow<'static, str>>,
    /// Whether an unknown outcome may be repeated.
    pub repeat: Repeat,
    /// Whether a customer's token in `Authorization-Customer` binds a request to the gateway that
    /// issued it.
    pub affinity: bool,
    /// The member of a successful answer that holds a customer's token, for what issues one.
    pub issues: Option<Pointer>,
    /// Whether `X-CLIENT-KEY` names the partner where `X-PARTNER-ID` is absent, as in calls of
    /// SNAP's token service.
    pub by_client_key: bool,
    /// Where this differs from the configuration's.
    pub mode: Option<Mode>,
}

impl Operation {
    /// A line that says nothing yet: what it names has its identity in the header.
    #[must_use]
    pub const fn bare() -> Self {
        Self {
            name: Cow::Borrowed(""),
            path: Cow::Borrowed(""),
            class: Class::Inquiry,
            namespace: Cow::Borrowed(""),
            identity: Identity::Header,
            reference: None,
            concerns: None,
            fingerprint: Vec::new(),
            amount: None,
            service_codes: Vec::new(),
            status: None,
            inquiry_path: None,
            repeat: Repeat::Never,
            affinity: false,
            issues: None,
            by_client_key: false,
            mode: None,
        }
    }
}

/// An operation with what is worked out once from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The line of the table.
    pub operation: Operation,
    /// Reads a request's body.
    pub request: Extractor,
    /// Where each member stands in what `request` finds.
    pub slots: RequestSlots,
    /// Reads an answer's body: response code, status, reference, token.
    pub answer: Extractor,
    /// Place of the token in what `answer` finds.
    pub token: Option<usize>,
}

/// Places of the members in what a [`Compiled::request`] finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSlots {
    /// Of the identity.
    pub identity: Vec<usize>,
    /// Of the identity of the payment concerned.
    pub concerns: Vec<usize>,
    /// Of the fingerprint fields.
    pub fingerprint: Vec<usize>,
    /// Of the reference.
    pub reference: Option<usize>,
    /// Of amount and currency.
    pub amount: Option<(usize, usize)>,
    /// Of the gateway's own number of a payment (SNAP: `originalReferenceNo`), where a status may
    /// be asked for by it.
    pub gateways_number: Option<usize>,
}

/// The namespace of cancels: one for each payment, and named as that is.
pub const CANCEL: &str = "cancel";

/// The member by which a payment may be asked for beside its reference.
const GATEWAYS_NUMBER: &str = "/originalReferenceNo";

/// Place of `responseCode` in what [`Compiled::answer`] finds.
pub(super) const ANSWER_CODE: usize = 0;
/// Place of the transaction status in what [`Compiled::answer`] finds.
pub(super) const ANSWER_STATUS: usize = 1;
/// Place of the reference in what [`Compiled::answer`] finds.
pub const ANSWER_REFERENCE: usize = 2;

impl Compiled {
    /// Works out the extractors of `operation`.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        let mut request = Extractor::default();
        let mut places = |pointers: &[Pointer]| pointers.iter().map(|p| request.add(p)).collect();
        let slots = RequestSlots {
            identity: match &operation.identity {
                Identity::Body(pointers) => places(pointers),
                Identity::Header => Vec::new(),
            },
            concerns: operation.concerns.as_ref().map_or_else(Vec::new, |c| places(&c.identity)),
            fingerprint: places(&operation.fingerprint),
            reference: operation.reference.as_ref().map(|r| request.add(&r.pointer)),
            amount: operation
                .amount
                .as_ref()
                .map(|(value, currency)| (request.add(value), request.add(currency))),
            gateways_number: operation.status.map(|_| request.add(&dana::pointer(GATEWAYS_NUMBER))),
        };
        let fixed = ["/responseCode", "/latestTransactionStatus"];
        let mut answer = Extractor::new(&fixed.map(dana::pointer));
        if let Some(reference) = &operation.reference {
            answer.add(&reference.pointer);
        }
        let token = operation.issues.as_ref().map(|token| answer.add(token));
        Self { operation, request, slots, answer, token }
    }
}

/// Which operation a path names, or why it may not be served.
#[derive(Debug)]
pub enum Matched<'t> {
    /// This one.
    Operation(&'t Rc<Compiled>),
    /// None of the table.
    Unmatched,
    /// The path could be read as another one by whoever comes after us.
    Ambiguous,
}

/// The operations of one configuration.
#[derive(Clone, Debug)]
pub struct Table(Vec<Rc<Compiled>>);

impl Table {
    /// A table of `operations`; of two with the same path the later one counts.
    #[must_use]
    pub fn new(operations: Vec<Operation>) -> Self {
        let mut table: Vec<Rc<Compiled>> = Vec::with_capacity(operations.len());
        for operation in operations {
            table.retain(|other| other.operation.path != operation.path);
            table.push(Rc::new(Compiled::new(operation)));
        }
        Self(table)
    }

    /// All operations.
    pub fn iter(&self) -> impl Iterator<Item = &Compiled> {
        self.0.iter().map(Rc::as_ref)
    }

    /// Finds the operation of a request target, whose query is ignored.
    #[must_use]
    pub fn find(&self, target: &str) -> Matched<'_> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if is_ambiguous(path) {
            return Matched::Ambiguous;
        }
        let stem = path.strip_suffix(".htm").unwrap_or(path);
        let ends = |c: &&Rc<Compiled>| stem.ends_with(c.operation.path.as_ref());
        // Of two that fit, the longer one says more.
        let found = self.0.iter().filter(ends).max_by_key(|c| c.operation.path.len());
        if let Some(found) = found {
            return Matched::Operation(found);
        }
        // A known path in other letters or with more at its end: the gateway might serve it, and
        // we would not have claimed it.
        let folded = path.to_ascii_lowercase();
        let mut folded = folded.as_str();
        while let Some(shorter) = folded.strip_suffix(".htm").or_else(|| folded.strip_suffix('/')) {
            folded = shorter;
        }
        let same = |c: &Rc<Compiled>| folded.ends_with(&c.operation.path.to_ascii_lowercase());
        if self.0.iter().any(same) { Matched::Ambiguous } else { Matched::Unmatched }
    }
}

/// Escapes, doubled slashes, dot segments and path parameters are resolved by some servers and
/// kept by others.
fn is_ambiguous(path: &str) -> bool {
    !path.starts_with('/')
        || path.len() > crate::engine::limits::PATH_CHARS_MAX
        || path.contains("//")
        || path
            .bytes()
            .any(|byte| matches!(byte, b'%' | b';' | b'\\' | b'#') || !byte.is_ascii_graphic())
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests;
