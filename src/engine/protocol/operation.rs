//! The operation table: what a request does, by its path.
//!
//! All DANA calls are POST, even those that only read, so the method says nothing.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::codec::json::{Extractor, Pointer};

pub(super) mod dana;

/// What happens to a request of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Moves money. It is claimed before it is sent, and sent to at most one gateway.
    Charge,
    /// Moves money of an earlier payment (cancel, refund). It is handled like a charge, at the gateway
    /// of that payment.
    FollowUp,
    /// Only reads. A status inquiry goes to the gateway of its payment, others to any usable gateway.
    Inquiry,
    /// Changes something other than money (tokens, bindings). The filter never repeats it.
    State,
}

/// Whether an attempt with an unknown outcome may be sent to its gateway again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Yes: the gateway recognises the reference and executes it once.
    ByReference,
    /// No: the client must ask for the status.
    Never,
}

/// Whether decisions are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Yes.
    Enforce,
    /// No: every request goes to the first gateway as if there were no filter. What would have been
    /// decided is only logged.
    Observe,
}

/// Where a request has the identity of its payment.
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
    /// The namespace of that payment.
    pub namespace: Cow<'static, str>,
    /// Members of this request that have the identity of that payment.
    pub identity: Vec<Pointer>,
}

/// The member that ties an answer to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is, in request and answer.
    pub pointer: Pointer,
    /// Whether DANA's documents oblige the answer to carry it. If they do not, its absence proves
    /// nothing against the answer. Another value always does.
    pub obliged: bool,
}

/// How to read `latestTransactionStatus` in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusTable {
    /// Orders of payment gateway and widget: 01 and 02 prove that the order exists.
    Order,
    /// Top-up and transfer: 01 to 03 mean pending.
    Disbursement,
}

/// One line of the operation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in logs and metrics.
    pub name: Cow<'static, str>,
    /// The end of the path. It begins with a slash and has no `.htm`.
    pub path: Cow<'static, str>,
    /// What it does.
    pub class: Class,
    /// The namespace of its identity. Two paths with the same namespace and the same identity are one
    /// payment.
    pub namespace: Cow<'static, str>,
    /// What identifies the payment.
    pub identity: Identity,
    /// What request and answer must agree on before an answer counts as success.
    pub reference: Option<Reference>,
    /// The payment that this request concerns, if it is an earlier one.
    pub concerns: Option<Concerns>,
    /// Members that must not change under one identity.
    pub fingerprint: Vec<Pointer>,
    /// Where amount and currency are, for the claim.
    pub amount: Option<(Pointer, Pointer)>,
    /// SNAP service codes that an answer may carry.
    pub service_codes: Vec<Cow<'static, str>>,
    /// How to read the status, for status inquiries.
    pub status: Option<StatusTable>,
    /// The path of the status inquiry for it.
    pub inquiry_path: Option<Cow<'static, str>>,
    /// Whether an unknown outcome may be repeated.
    pub repeat: Repeat,
    /// Whether a customer's token in `Authorization-Customer` binds a request to the gateway that
    /// issued the token.
    pub affinity: bool,
    /// The member of a successful answer with the customer's token, for operations that issue one.
    pub issues: Option<Pointer>,
    /// Whether `X-CLIENT-KEY` names the partner if `X-PARTNER-ID` is absent, as in calls to SNAP's
    /// token service.
    pub by_client_key: bool,
    /// Its own mode, if it differs from the configuration's.
    pub mode: Option<Mode>,
}

impl Operation {
    /// An empty line of the table. The identity is in the header.
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

/// An operation, and what is derived from it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The line of the table.
    pub operation: Operation,
    /// Reads a request's body.
    pub request: Extractor,
    /// The place of each member in the result of `request`.
    pub slots: RequestSlots,
    /// Reads an answer's body: response code, status, reference, token.
    pub answer: Extractor,
    /// The place of the token in the result of `answer`.
    pub token: Option<usize>,
}

/// Places of the members in the result of [`Compiled::request`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSlots {
    /// The identity.
    pub identity: Vec<usize>,
    /// The identity of the payment concerned.
    pub concerns: Vec<usize>,
    /// The members of the fingerprint.
    pub fingerprint: Vec<usize>,
    /// The reference.
    pub reference: Option<usize>,
    /// Amount and currency.
    pub amount: Option<(usize, usize)>,
    /// The gateway's own number of a payment (SNAP: `originalReferenceNo`), in status inquiries.
    pub gateways_number: Option<usize>,
}

/// The namespace of cancels. A payment has one, with the same identity.
pub(in crate::engine) const CANCEL: &str = "cancel";

/// A member that identifies a payment in a status inquiry, besides the reference.
const GATEWAYS_NUMBER: &str = "/originalReferenceNo";

/// The place of `responseCode` in the result of [`Compiled::answer`].
pub(super) const ANSWER_CODE: usize = 0;
/// The place of the transaction status in the result of [`Compiled::answer`].
pub(super) const ANSWER_STATUS: usize = 1;
/// The place of the reference in the result of [`Compiled::answer`].
pub(in crate::engine) const ANSWER_REFERENCE: usize = 2;

impl Compiled {
    /// Derives the extractors of `operation`.
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
            gateways_number: operation.status.map(|_| request.add(&pointer(GATEWAYS_NUMBER))),
        };
        let fixed = ["/responseCode", "/latestTransactionStatus"];
        let mut answer = Extractor::new(&fixed.map(pointer));
        if let Some(reference) = &operation.reference {
            answer.add(&reference.pointer);
        }
        let token = operation.issues.as_ref().map(|token| answer.add(token));
        Self { operation, request, slots, answer, token }
    }
}

/// A pointer of the code's own, all of which the tests parse.
pub(super) fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap_or_else(|| unreachable!("{text}"))
}

/// The operation of a path, or why there is none.
#[derive(Debug)]
pub enum Matched<'t> {
    /// This one.
    Operation(&'t Rc<Compiled>),
    /// The path matches none.
    Unmatched,
    /// A server behind the filter could read the path as another one.
    Ambiguous,
}

/// The operations of one configuration.
#[derive(Clone, Debug)]
pub struct Table(Vec<Rc<Compiled>>);

impl Table {
    /// A table of `operations`. Of two with the same path the later one is used.
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

    /// The operation of a request target. Its query is ignored.
    #[must_use]
    pub fn find(&self, target: &str) -> Matched<'_> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if is_ambiguous(path) {
            return Matched::Ambiguous;
        }
        let stem = path.strip_suffix(".htm").unwrap_or(path);
        let last = stem.bytes().next_back();
        let ends = |c: &&Rc<Compiled>| {
            let path = c.operation.path.as_ref();
            // Most end otherwise.
            path.bytes().next_back() == last && stem.ends_with(path)
        };
        // Of two that match, the longer path is more specific.
        let found = self.0.iter().filter(ends).max_by_key(|c| c.operation.path.len());
        if let Some(found) = found {
            return Matched::Operation(found);
        }
        // A known path in other case or with a suffix: the gateway might serve it, and the payment
        // would not be claimed.
        let folded = path.to_ascii_lowercase();
        let mut folded = folded.as_str();
        while let Some(shorter) = folded.strip_suffix(".htm").or_else(|| folded.strip_suffix('/')) {
            folded = shorter;
        }
        let same = |c: &Rc<Compiled>| folded.ends_with(&c.operation.path.to_ascii_lowercase());
        if self.0.iter().any(same) { Matched::Ambiguous } else { Matched::Unmatched }
    }
}

/// Whether servers may read the path differently: some resolve escapes, doubled slashes, dot segments
/// and path parameters, others keep them.
fn is_ambiguous(path: &str) -> bool {
    if !path.starts_with('/') || path.len() > crate::engine::limits::PATH_CHARS_MAX {
        return true;
    }
    let (mut before, mut has_dots) = (0, false);
    for byte in path.bytes() {
        let is_odd = matches!(byte, b'%' | b';' | b'\\' | b'#') || !byte.is_ascii_graphic();
        if is_odd || (before, byte) == (b'/', b'/') {
            return true;
        }
        has_dots |= (before, byte) == (b'/', b'.');
        before = byte;
    }
    has_dots && path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests;
