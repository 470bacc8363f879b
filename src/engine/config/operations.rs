//! Operations that the configuration adds to the preset, or changes in it.

use std::borrow::Cow;

use super::names::{NAME, is_name};
use super::reader::{Errors, Fields, Node};
use crate::engine::codec::json::Pointer;
use crate::engine::limits;
use crate::engine::protocol::{
    Class, Concerns, Identity, Mode, Operation, Protocol, Reference, Repeat, StatusTable, dana_snap,
};

const PATH: &str = "a path that begins with / and has no query";
const CLASS: &str = "\"charge\", \"follow-up\", \"inquiry\" or \"state\"";

/// The modes by their names in the configuration.
pub(super) const MODES: [(&str, Mode); 2] =
    [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

pub(super) fn read(fields: &Fields<'_>, protocol: Protocol, errors: &Errors) -> Vec<Operation> {
    let mut operations = match protocol {
        Protocol::DanaSnap => dana_snap(),
        Protocol::Http => Vec::new(),
    };
    if let Some(node) = fields.get("operations") {
        let own = node.items().into_iter().filter_map(|node| read_operation(&node, &operations));
        let own: Vec<(Node<'_>, Operation)> = own.collect();
        for (node, operation) in &own {
            check_operation(node, operation, protocol);
        }
        operations.extend(own.into_iter().map(|(_, operation)| operation));
    }
    if operations.is_empty() {
        errors.add("operations", "at least one operation with protocol \"http\"", "none");
    }
    operations
}

/// An operation with the path of one in the preset keeps what it does not set.
fn read_operation<'v>(node: &Node<'v>, presets: &[Operation]) -> Option<(Node<'v>, Operation)> {
    let fields = node.fields();
    let name = fields.demand("name", NAME).and_then(|node| node.text(NAME, is_name));
    let path = fields
        .demand("path", PATH)
        .and_then(|node| node.text(PATH, is_path))
        .map(|path| path.strip_suffix(".htm").unwrap_or(&path).to_owned());
    let class = fields.demand("class", CLASS).and_then(|node| {
        node.choice(&[
            ("charge", Class::Charge),
            ("follow-up", Class::FollowUp),
            ("inquiry", Class::Inquiry),
            ("state", Class::State),
        ])
    });
    let preset = presets.iter().find(|preset| Some(preset.path.as_ref()) == path.as_deref());
    let mut operation = preset.cloned().unwrap_or_else(Operation::bare);
    if let Some(text) = fields.get("namespace").and_then(|node| node.text(NAME, is_name)) {
        operation.namespace = text.into();
    }
    if let Some(identity) = pointers(&fields, "identity") {
        operation.identity = Identity::Body(identity);
    }
    if let Some(pointer) = fields.get("reference").as_ref().and_then(pointer) {
        operation.reference = Some(Reference { pointer, obliged: true });
    }
    if let Some(fingerprint) = pointers(&fields, "fingerprint") {
        operation.fingerprint = fingerprint;
    }
    let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
    if let Some(node) = fields.get("service_code") {
        // A wrong one is reported by `text`. It must not be reported as missing too.
        let code = node.text("two digits", digits).unwrap_or_default();
        operation.service_codes = vec![code.into()];
    }
    if let Some(node) = fields.get("concerns") {
        operation.concerns = Some(read_concerns(&node));
    }
    let tables = [("order", StatusTable::Order), ("disbursement", StatusTable::Disbursement)];
    if let Some(node) = fields.get("status") {
        operation.status = node.choice(&tables);
    }
    if let Some(node) = fields.get("inquiry_path") {
        operation.inquiry_path = node.text(PATH, is_path).map(Cow::Owned);
    }
    operation.affinity = fields.flag("affinity", operation.affinity);
    if let Some(node) = fields.get("issues") {
        operation.issues = pointer(&node);
    }
    operation.mode = fields.get("mode").and_then(|node| node.choice(&MODES)).or(operation.mode);
    let repeats = [("by_reference", Repeat::ByReference), ("never", Repeat::Never)];
    operation.repeat = fields.choice("repeat", &repeats, operation.repeat);
    operation.name = name?.into();
    operation.path = path?.into();
    operation.class = class?;
    Some((node.clone(), operation))
}

fn check_operation(node: &Node<'_>, operation: &Operation, protocol: Protocol) {
    let moves_money = matches!(operation.class, Class::Charge | Class::FollowUp);
    if moves_money && operation.namespace.is_empty() {
        node.wrong("a namespace for an operation that moves money");
    }
    if moves_money && protocol == Protocol::DanaSnap && operation.service_codes.is_empty() {
        node.wrong("a service_code, without which no answer proves anything");
    }
    if operation.status.is_some() && protocol == Protocol::Http {
        node.wrong(
            "no status table: with protocol \"http\" no answer says what became of a payment",
        );
    }
    if operation.class == Class::FollowUp && operation.concerns.is_none() {
        node.wrong("concerns: which payment a follow-up is about");
    }
}

fn read_concerns(node: &Node<'_>) -> Concerns {
    let fields = node.fields();
    let namespace = fields.demand("namespace", NAME).and_then(|node| node.text(NAME, is_name));
    let namespace = namespace.unwrap_or_default().into();
    let identity = pointers(&fields, "identity").unwrap_or_default();
    if identity.is_empty() {
        node.wrong("the identity of the payment it is about");
    }
    Concerns { namespace, identity }
}

/// The pointers of a list, if there is one.
fn pointers(fields: &Fields<'_>, name: &'static str) -> Option<Vec<Pointer>> {
    Some(fields.get(name)?.items().iter().filter_map(pointer).collect())
}

fn pointer(node: &Node<'_>) -> Option<Pointer> {
    let text =
        node.text("a JSON pointer such as /partnerReferenceNo", |t| Pointer::parse(t).is_some());
    text.and_then(|text| Pointer::parse(&text))
}

fn is_path(text: &str) -> bool {
    (2..=limits::PATH_CHARS_MAX).contains(&text.len())
        && text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?')
}
