//! A configuration joined to its store: gateways have their stored ids, and composites name their
//! members by them.

use super::values::{Config, StoreConfig};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Demand, HealthRules, ProbeSpec};
use crate::engine::payment::ClaimRules;
use crate::engine::protocol::{Compiled, Memory, Mode, Table};
use crate::engine::store::{
    KeyDefinition, Layout, LayoutError, Placement, RealmGateway, RealmTerms, Seed,
};
use crate::engine::time::{Leaps, Millis, Timestamp};

/// Everything that decisions depend on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In order of preference.
    pub gateways: Vec<Gateway>,
    /// Clusters in which Envoy tries one gateway after the other.
    pub composites: Vec<Composite>,
    /// The operation table.
    pub operations: Table,
    /// How health is judged and gateways are chosen.
    pub health: HealthRules,
    /// The delays that money waits for.
    pub claims: ClaimRules,
    /// Where the store has the records of a payment.
    pub placement: Placement,
    /// When the store began.
    pub born: Timestamp,
    /// New payments are claimed in etcd, and shared data may hold claims of before. They stay there
    /// for as long as the process lives, whether `local` is still configured or not.
    pub drains_local: bool,
    /// Names of gateways that were configured once, as long as this store has been there.
    pub former: Vec<String>,
    /// The configuration.
    pub config: Config,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its id, which is its bit in records.
    pub id: GatewayId,
    /// Its name in configuration, metadata and logs.
    pub name: String,
    /// The Envoy cluster that reaches this gateway and no other.
    pub cluster: String,
    /// The `Host` of requests that the filter itself sends there, past the route. If there is none,
    /// the `Host` of the merchant's request.
    pub host: Option<String>,
    /// What its heartbeats request and what they expect.
    pub probe: ProbeSpec,
    /// The operations that may go there. All of them if there is no list.
    operations: Option<Vec<String>>,
    /// What the connection to it must be like, if that is checked.
    pub channel: Option<Demand>,
}

impl Gateway {
    /// Whether requests of `operation` may go there. `None`: a request that matches no operation.
    #[must_use]
    pub fn permits(&self, operation: Option<&str>) -> bool {
        let named = |names: &Vec<String>| {
            operation.is_some_and(|operation| names.iter().any(|name| name == operation))
        };
        self.operations.as_ref().is_none_or(named)
    }
}

/// A cluster that reaches several gateways, in this order.
#[derive(Clone, Debug)]
pub struct Composite {
    /// The gateways that it tries, in order.
    pub members: Vec<GatewayId>,
    /// Envoy's name for it.
    pub cluster: String,
}

/// Why a configuration does not fit the layout of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The store was laid out for another number of claims, each rounded up to what a store can
    /// be laid out for.
    ClaimsMax {
        /// The number in the store.
        stored: u32,
        /// The number that the configuration asks for.
        configured: u32,
    },
    /// The store does not know this gateway: no payments' filter has used it.
    Gateway {
        /// Its name.
        name: String,
    },
}

/// A cluster to route to, and the gateways that it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTarget<'p> {
    /// Envoy's name for it.
    pub cluster: &'p str,
    /// The gateways in the order in which Envoy tries them. The first one is the target.
    pub members: Vec<GatewayId>,
}

impl Policy {
    /// Joins `config` to `layout` at `now`. Also returns whether the layout has changed and must be
    /// written back.
    ///
    /// # Errors
    /// When the configuration cannot work on the store that is there.
    pub fn join(
        config: Config,
        layout: &mut Layout,
        now: Timestamp,
    ) -> Result<(Self, bool), LayoutError> {
        let names: Vec<(&str, &str)> =
            config.gateways.iter().map(|g| (g.name.as_str(), g.cluster.as_str())).collect();
        let operations = Table::new(config.operations.clone());
        let keys: Vec<KeyDefinition> =
            operations.iter().map(|compiled| config.key_definition(&compiled.operation)).collect();
        let (ids, grew) = layout.join(claims_max(&config, layout), &names, &keys)?;
        let (_, began) = layout.begin(now);
        let claims = config.store.has_local() && layout.expect_claims();
        Ok((Self::new(config, operations, ids, layout), grew || began || claims))
    }

    /// Looks `config` up in `layout`, which stays as it is: for the operators' listener.
    ///
    /// # Errors
    /// If no payments' filter has joined such a configuration to it yet.
    pub fn over(config: Config, layout: &Layout) -> Result<Self, JoinError> {
        let wanted = Placement::new(claims_max(&config, layout), Seed::default());
        let (stored, configured) = (layout.placement().claims_max(), wanted.claims_max());
        if stored != configured {
            return Err(JoinError::ClaimsMax { stored, configured });
        }
        let find = |name: &String| {
            layout.find(name).ok_or_else(|| JoinError::Gateway { name: name.clone() })
        };
        let ids = config.gateways.iter().map(|gateway| find(&gateway.name));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let operations = Table::new(config.operations.clone());
        Ok(Self::new(config, operations, ids, layout))
    }

    fn new(config: Config, operations: Table, ids: Vec<GatewayId>, layout: &Layout) -> Self {
        let gateways: Vec<Gateway> = config
            .gateways
            .iter()
            .zip(ids)
            .map(|(g, id)| {
                let (name, cluster, probe) = (g.name.clone(), g.cluster.clone(), g.probe.clone());
                let (operations, channel) = (g.operations.clone(), g.channel.clone());
                Gateway { id, name, cluster, host: g.host.clone(), probe, operations, channel }
            })
            .collect();
        let is_former = |id: &GatewayId| !gateways.iter().any(|gateway| gateway.id == *id);
        let former = layout.gateways().iter().filter(is_former).filter_map(|id| layout.name(id));
        let former = former.map(str::to_owned).collect();
        let id_of = |name: &String| gateways.iter().find(|g| &g.name == name).map(|g| g.id);
        let composites = config
            .composites
            .iter()
            .map(|c| Composite {
                members: c.members.iter().filter_map(id_of).collect(),
                cluster: c.cluster.clone(),
            })
            .collect();
        let health = HealthRules {
            order: gateways.iter().map(|gateway| gateway.id).collect(),
            breaker: config.breaker,
            heartbeat: config.heartbeat,
            failback: config.failback,
            retention: config.store.retention.max(config.store.token_retention),
        };
        Self {
            gateways,
            composites,
            operations,
            health,
            claims: config.claims,
            placement: layout.placement(),
            born: layout.born().unwrap_or_default(),
            drains_local: config.store.etcd().is_some() && layout.may_hold_claims(),
            former,
            config,
        }
    }

    /// What a worker joins a shared store with.
    #[must_use]
    pub fn realm_terms(&self) -> RealmTerms {
        let gateways = self.gateways.iter().map(|gateway| RealmGateway {
            name: gateway.name.clone(),
            cluster: gateway.cluster.clone(),
            here: gateway.id,
        });
        let operations = self.operations.iter();
        let keys = operations.map(|compiled| self.config.key_definition(&compiled.operation));
        let StoreConfig { retention, token_retention, .. } = self.config.store;
        RealmTerms {
            gateways: gateways.collect(),
            keys: keys.collect(),
            claims: retention,
            tokens: token_retention,
        }
    }

    /// How far back the store knows, at `now`, the payments that may still be repeated. It does not know
    /// what was sent before it began, nor what was resolved longer ago than the retention. Time that
    /// the clock skipped does not count. `since`: when it began, where other Envoys share it.
    #[must_use]
    pub fn memory(&self, since: Option<Timestamp>, leaps: &Leaps, now: Timestamp) -> Memory {
        let born = since.unwrap_or(self.born);
        let needed = self.claims.repeat_max_age.max(self.claims.doubt_min());
        if leaps.passed(born, now) < needed {
            return Memory::Since(born);
        }
        if self.config.store.retention < needed {
            return Memory::For(self.config.store.retention);
        }
        Memory::Whole
    }

    /// Whether requests of an operation are only observed. A request that matches no operation is
    /// observed only if all operations are.
    #[must_use]
    pub fn observes(&self, operation: Option<&Compiled>) -> bool {
        let mode = |compiled: &Compiled| compiled.operation.mode.unwrap_or(self.config.mode);
        match operation {
            Some(compiled) => mode(compiled) == Mode::Observe,
            None => {
                self.config.mode == Mode::Observe
                    && self.operations.iter().all(|compiled| mode(compiled) == Mode::Observe)
            }
        }
    }

    /// Whether the connection of an answer is checked, for any gateway.
    #[must_use]
    pub fn watches_channels(&self) -> bool {
        self.gateways.iter().any(|gateway| gateway.channel.is_some())
    }

    /// The gateways in order of preference.
    pub fn order(&self) -> impl Iterator<Item = GatewayId> {
        self.health.order()
    }

    /// The gateway of a stored id, if it is still configured.
    #[must_use]
    pub fn gateway(&self, id: GatewayId) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.id == id)
    }

    /// The gateway with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.name == name)
    }

    /// The names of a set of gateways, for people.
    #[must_use]
    pub fn names(&self, gateways: Gateways) -> String {
        let name = |id| self.gateway(id).map_or("(no longer configured)", |g| g.name.as_str());
        gateways.iter().map(name).collect::<Vec<_>>().join("+")
    }

    /// The cluster that reaches `gateway` alone.
    #[must_use]
    pub fn plain(&self, gateway: GatewayId) -> Option<RouteTarget<'_>> {
        let members = vec![gateway];
        self.gateway(gateway).map(|gateway| RouteTarget { cluster: &gateway.cluster, members })
    }

    /// The cluster for a request that may go to all of `selection`, in this order. It is the composite
    /// that reaches most of them and no other gateway, or else the first gateway's own cluster.
    #[must_use]
    pub fn target(&self, selection: &[GatewayId]) -> Option<RouteTarget<'_>> {
        let first = *selection.first()?;
        let fits = |c: &&Composite| {
            c.members.first() == Some(&first) && c.members.iter().all(|m| selection.contains(m))
        };
        match self.composites.iter().filter(fits).max_by_key(|c| c.members.len()) {
            Some(c) => Some(RouteTarget { cluster: &c.cluster, members: c.members.clone() }),
            None => self.plain(first),
        }
    }

    /// The period of a worker's ticks.
    #[must_use]
    pub fn tick_period(&self) -> Millis {
        self.health.heartbeat.tick_period()
    }

    /// How long a census of a full store takes.
    #[must_use]
    pub fn census_length(&self) -> Millis {
        let ticks = self.placement.census_ticks().into();
        Millis::new(self.tick_period().get().saturating_mul(ticks))
    }
}

/// For how many claims shared data must be laid out. Without `local` no new payment is claimed there,
/// so that whatever it was laid out for will do.
const fn claims_max(config: &Config, layout: &Layout) -> u32 {
    if config.store.has_local() { config.store.claims_max } else { layout.placement().claims_max() }
}
