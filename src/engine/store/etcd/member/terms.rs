//! What a worker joins a realm with.

use crate::engine::gateway::GatewayId;
use crate::engine::store::layout::KeyDefinition;
use crate::engine::time::Millis;

/// What a worker joins with.
#[derive(Debug)]
pub struct RealmTerms {
    /// The gateways of the configuration.
    pub gateways: Vec<RealmGateway>,
    /// How the keys of payments are made.
    pub keys: Vec<KeyDefinition>,
    /// How long a resolved claim and a header key are kept.
    pub claims: Millis,
    /// How long a customer's token is kept, from its last use.
    pub tokens: Millis,
}

/// A gateway that a worker joins with.
#[derive(Clone, Debug)]
pub struct RealmGateway {
    /// Its name, which is the same at every Envoy of the realm.
    pub name: String,
    /// The cluster by which this Envoy reaches it. Another name's payments never go there.
    pub cluster: String,
    /// Its place in this process.
    pub here: GatewayId,
}
