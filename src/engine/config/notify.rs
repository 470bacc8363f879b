//! Notifications: whose they are, and the keys that gateways sign them with.
//!
//! Only the module that takes them in reads this part: the others keep it as it stands there.

use serde_json::Value;

use super::reader::{ConfigError, Errors, Fields, Node};
use super::values::{Config, Ledger};
use crate::engine::limits;
use crate::engine::protocol::{Identity, Matched, Protocol, PublicKey, Table, dana_notifications};
use crate::engine::time::{Millis, Timestamp};

/// How notifications are taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfig {
    /// The partner whose payments they are about: no signature covers what a header says of that.
    pub partner: String,
    /// The gateway whose channel this listener is; any of those with a key, if there is none.
    pub gateway: Option<String>,
    /// How old a notification may be, by the time that is signed with it.
    pub age_max: Millis,
    /// The keys.
    pub keys: Vec<NotifyKey>,
}

/// A key that a gateway signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyKey {
    /// Whose.
    pub gateway: String,
    /// The key.
    pub key: PublicKey,
    /// Nothing signed before this counts.
    pub from: Timestamp,
    /// Nor anything signed from then on.
    pub until: Timestamp,
}

/// For so long DANA repeats a notification that is not confirmed, in seconds.
const REPEATED_S: u64 = 604_800;

/// The part of a configuration, as JSON.
pub(super) fn keep(root: &Fields<'_>) -> Option<String> {
    root.get("notify").map(|node| node.value().to_string())
}

impl NotifyConfig {
    /// Reads the part of `config`.
    ///
    /// # Errors
    /// Every mistake, each with its path, what was expected there and what was found.
    pub fn read(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let errors = Errors::default();
        let value = config.notify.as_deref().map(serde_json::from_str::<Value>);
        let read = match &value {
            Some(Ok(value)) => {
                Some(fields(&Node::at("notify", value, &errors).fields(), config, &errors))
            }
            Some(Err(_)) | None => {
                errors.add("notify", "an object where admin.role is \"notify\"", "nothing");
                None
            }
        };
        if config.protocol != Protocol::DanaSnap {
            errors.add("protocol", "\"dana-snap\": only there is known who signs what", "\"http\"");
        }
        check_identity(config, &errors);
        let errors = errors.into_vec();
        read.filter(|_| errors.is_empty()).ok_or(errors)
    }
}

fn fields(fields: &Fields<'_>, config: &Config, errors: &Errors) -> NotifyConfig {
    let partner = |text: &str| {
        !text.is_empty() && text.len() <= limits::PARTNER_CHARS_MAX && text.trim() == text
    };
    let names: Vec<&str> = config.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    let known: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let known = known.join(" or ");
    let is_known = |text: &str| names.contains(&text);
    let age_max_s = fields.number("age_max_s", 60..=2_592_000, REPEATED_S);
    let gateway = fields.get("gateway").and_then(|node| node.text(&known, is_known));
    let keys: Vec<NotifyKey> = match fields.get("keys") {
        Some(node) => node.items().iter().filter_map(|item| key(item, &known, is_known)).collect(),
        None => Vec::new(),
    };
    let count = keys.len();
    if !(1..=limits::NOTIFY_KEYS_MAX).contains(&count) {
        let expected = format!("1 to {} keys", limits::NOTIFY_KEYS_MAX);
        errors.add("notify.keys", expected, count.to_string());
    }
    const PARTNER: &str = "the partner's id, as in X-PARTNER-ID";
    let is_shared_ledger = config.ledger == Ledger::Shared;
    let whose = fields.demand("partner", PARTNER).and_then(|node| node.text(PARTNER, partner));
    let config = NotifyConfig {
        partner: whose.unwrap_or_default(),
        gateway,
        age_max: Millis::new(age_max_s * 1000),
        keys,
    };
    check_keys(&config, is_shared_ledger, errors);
    config
}

fn key(item: &Node<'_>, known: &str, is_known: impl Fn(&str) -> bool) -> Option<NotifyKey> {
    const TIME: &str = "a time such as \"2026-11-30T00:00:00+07:00\"";
    let fields = item.fields();
    let time = |name, default| match fields.get(name) {
        None => Some(default),
        Some(node) => {
            let text = node.text(TIME, |text| Timestamp::read(text).is_some())?;
            Timestamp::read(&text)
        }
    };
    let gateway = fields.demand("gateway", known).and_then(|node| node.text(known, is_known));
    let (from, until) = (time("from", Timestamp::default())?, time("until", Timestamp::NEVER)?);
    const PEM: &str = "an RSA public key of 2048 to 4096 bits, as PEM or as its base64";
    let is_key = |text: &str| PublicKey::parse(text).is_some();
    let text = fields.demand("key", PEM).and_then(|node| node.text(PEM, is_key));
    Some(NotifyKey { gateway: gateway?, key: PublicKey::parse(&text?)?, from, until })
}

/// A gateway is known by its key. With one ledger for all it does not matter whose.
fn check_keys(config: &NotifyConfig, is_shared_ledger: bool, errors: &Errors) {
    for (at, one) in config.keys.iter().enumerate() {
        let mut before = config.keys.iter().take(at);
        let is_shared = |other: &NotifyKey| other.key == one.key && other.gateway != one.gateway;
        if !is_shared_ledger && before.any(is_shared) {
            let expected = "a key of no other gateway, where ledger is not \"shared\"";
            errors.add(&format!("notify.keys[{at}].key"), expected, "the same one");
        }
    }
    if let Some(gateway) = &config.gateway
        && !config.keys.iter().any(|one| one.gateway == *gateway)
    {
        errors.add("notify.keys", format!("a key of \"{gateway}\""), "none");
    }
}

/// A notification names its payment as DANA documents it. Where the operation that pays has another identity
/// it would be evidence of a payment that nobody knows.
fn check_identity(config: &Config, errors: &Errors) {
    let table = Table::new(config.operations.clone());
    for (path, notification) in PAYS.into_iter().zip(dana_notifications()) {
        let Matched::Operation(pays) = table.find(path) else { continue };
        let concerns = notification.concerns.as_ref();
        let documented = concerns.is_some_and(|of| {
            let named = of.identity.iter().map(ToString::to_string);
            let named: Vec<String> = named
                .map(|name| name.replace("originalPartnerReferenceNo", "partnerReferenceNo"))
                .collect();
            let identity = match &pays.operation.identity {
                Identity::Body(identity) => identity.iter().map(ToString::to_string).collect(),
                Identity::Header => Vec::new(),
            };
            pays.operation.namespace == of.namespace && named == identity
        });
        if !documented {
            let expected = format!(
                "{} with the namespace and identity that DANA documents, which its notifications have",
                pays.operation.name
            );
            errors.add("operations", expected, "another");
        }
    }
}

/// Paths of the operations whose payments are notified of, in the order of [`dana_notifications`].
const PAYS: [&str; 2] = ["/v1.0/debit/payment-host-to-host", "/v1.0/emoney/transfer-bank"];
