//! What notifications are read by: a configuration's keys, with the gateways they belong to.

use crate::engine::codec::json::{Extractor, Pointer};
use crate::engine::config::{ConfigError, NotifyConfig, Policy};
use crate::engine::gateway::GatewayId;
use crate::engine::protocol::{PublicKey, SnapCode, Table, dana_notifications};
use crate::engine::time::{Millis, Timestamp};

/// What notifications are read by.
#[derive(Debug)]
pub struct Inbound {
    pub(super) partner: String,
    /// The gateway whose channel the listener is.
    channel: Option<GatewayId>,
    pub(super) age_max: Millis,
    keys: Vec<GatewayKey>,
    pub(super) table: Table,
    /// Reads the application's `responseCode`.
    answer: Extractor,
}

#[derive(Debug)]
struct GatewayKey {
    gateway: GatewayId,
    key: PublicKey,
    from: Timestamp,
    until: Timestamp,
}

impl Inbound {
    /// As `policy` has it.
    ///
    /// # Errors
    /// Every mistake in that part of the configuration.
    pub fn new(policy: &Policy) -> Result<Self, Vec<ConfigError>> {
        let config = NotifyConfig::read(&policy.config)?;
        let id = |name: &str| policy.gateways.iter().find(|one| one.name == name).map(|one| one.id);
        let keys = config.keys.into_iter().filter_map(|one| {
            let (key, from, until) = (one.key, one.from, one.until);
            Some(GatewayKey { gateway: id(&one.gateway)?, key, from, until })
        });
        Ok(Self {
            partner: config.partner,
            channel: config.gateway.as_deref().and_then(id),
            age_max: config.age_max,
            keys: keys.collect(),
            table: Table::new(dana_notifications().to_vec()),
            answer: Extractor::new(
                &Pointer::parse("/responseCode").into_iter().collect::<Vec<_>>(),
            ),
        })
    }

    /// The keys that may have signed something at `signed_at`, as far as their gateways may speak here.
    pub(super) fn keys(
        &self,
        signed_at: Timestamp,
    ) -> impl Iterator<Item = (GatewayId, &PublicKey)> {
        let is_here = |one: &&GatewayKey| self.channel.is_none_or(|channel| channel == one.gateway);
        let counts = move |one: &&GatewayKey| one.from <= signed_at && signed_at < one.until;
        self.keys.iter().filter(is_here).filter(counts).map(|one| (one.gateway, &one.key))
    }

    /// What the application answers.
    pub(super) fn response_code(&self, body: &[u8]) -> Option<SnapCode> {
        let found = self.answer.extract(body).ok()?.into_iter().next()??;
        SnapCode::parse(found.as_text()?)
    }
}
