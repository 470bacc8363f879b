//! The store of claims, which belongs to a vm_id.

use crate::engine::Timestamp;
use crate::engine::{Config, Policy};
use crate::engine::{Layout, Placement, Seed};

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Listener, Plugin, Setup};
use super::super::store::Store;
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "vm-id-missing",
        severity: Error,
        title: "The filter has no vm_id",
        why: "Claims live under it; without one they are shared with every plugin that has none.",
        fix: "Give vm_config a vm_id that only this filter uses.",
        check: vm_id_missing,
    },
    Rule {
        id: "vm-id-shared",
        severity: Error,
        title: "Two filters with one vm_id do not fit together",
        why: "They share a store whose layout is fixed by the first; Envoy does not start with the second.",
        fix: "Give both the same gateways, operations and claims_max.",
        check: vm_id_shared,
    },
    Rule {
        id: "claims-apart",
        severity: Warning,
        title: "Two filters do not see each other's claims",
        why: "A payment that comes by both listeners, once each, is made twice.",
        fix: "Give all filters that reach the same gateways the same vm_id.",
        check: claims_apart,
    },
    Rule {
        id: "store-small",
        severity: Warning,
        title: "The store sustains less than one payment a second",
        why: "Once its buckets are full of claims that are kept, new payments are refused (claim_store_full).",
        fix: "Raise idempotency.store.local.claims_max, or lower idempotency.retention_s.",
        check: store_small,
    },
    Rule {
        id: "replicas-apart",
        severity: Warning,
        title: "Several replicas keep their claims apart",
        why: "Each knows only the payments that went through it: one that is repeated at another replica is made \
              again.",
        fix: "Set replicas: 1, or keep claims in etcd (idempotency.store.etcd), as docs/etcd.md tells.",
        check: replicas_apart,
    },
    Rule {
        id: "claims-in-one-process",
        severity: Note,
        title: "Claims are known to one Envoy process alone",
        why: "Other machines can reach this listener, so it may be one of several replicas: a payment that is \
              repeated at another one is made again. A restart forgets all claims too.",
        fix: "Run one, or keep claims in etcd (docs/etcd.md), or lead each partner's payments to the same replica \
              always, by a fixed list (docs/running.md), and drain it before it ends.",
        check: claims_in_one_process,
    },
];

/// New payments a second that a store must sustain.
const RATE_LEAST: f64 = 1.0;

fn vm_id_missing(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.with_store() {
        let view = plugin.vm_id();
        if view.word().is_empty() {
            found.add(&view, "a name such as dana");
        }
    }
}

/// The store's own code decides whether a filter fits.
fn vm_id_shared(setup: &Setup, found: &mut Found<'_>) {
    let mut stores: Vec<(String, Layout)> = Vec::new();
    for plugin in setup.with_store() {
        let (Ok(config), id) = (&plugin.parsed, plugin.vm_id()) else { continue };
        let known = stores.iter_mut().find(|(name, _)| name == id.word());
        match known {
            None => {
                let mut layout =
                    Layout::new(Placement::new(config.store.claims_max, Seed::default()));
                if join(config, &mut layout).is_ok() {
                    stores.push((id.word().to_owned(), layout));
                }
            }
            Some((_, layout)) => {
                if let Err(error) = join(config, layout) {
                    let expected = format!("what fits the store of vm_id {:?}", id.word());
                    found.add_as(&plugin.config, expected, error);
                }
            }
        }
    }
}

fn join(config: &Config, layout: &mut Layout) -> Result<(), String> {
    Policy::join(config.clone(), layout, Timestamp::default())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn claims_apart(setup: &Setup, found: &mut Found<'_>) {
    let reaches = |plugin: &Plugin| -> Vec<usize> {
        plugin.gateways().iter().flat_map(|gateway| setup.leaves(&gateway.cluster)).collect()
    };
    let Some(first) = setup.payments().next() else { return };
    let known = reaches(first);
    for plugin in setup.payments().skip(1) {
        if !reaches(plugin).iter().any(|leaf| known.contains(leaf)) {
            continue;
        }
        let mut pairs = vec![(plugin.etcd().at("realm"), first.etcd().at("realm"))];
        // In etcd the vm_id says nothing.
        let is_local = |plugin: &Plugin| !plugin.etcd().exists() || local(plugin).exists();
        if is_local(plugin) && is_local(first) {
            pairs.push((plugin.vm_id(), first.vm_id()));
        }
        for (own, other) in pairs.iter().filter(|(own, other)| !own.is_same_as(other)) {
            found.add(own, other.shows());
        }
    }
}

fn local(plugin: &Plugin) -> View {
    plugin.config.down(&["idempotency", "store", "local"])
}

fn store_small(setup: &Setup, found: &mut Found<'_>) {
    let is_small = |store: &&Store| store.etcd.is_none() && store.payments_per_second < RATE_LEAST;
    for store in Store::all(setup).iter().filter(is_small) {
        let is_its =
            |plugin: &&Plugin| plugin.parsed.is_ok() && plugin.vm_id().word() == store.vm_id;
        let Some(plugin) = setup.payments().find(is_its) else { continue };
        let claims = local(plugin).at("claims_max");
        let retention = plugin.config.down(&["idempotency", "retention_s"]);
        let place = if claims.exists() || !retention.exists() { claims } else { retention };
        let rate = store.payments_per_second;
        found.add_as(&place, "at least one new payment a second", format!("{rate:.2}"));
    }
}

/// As far as the manifest tells: a workload that mounts the ConfigMap with the filter in it.
fn replicas_apart(setup: &Setup, found: &mut Found<'_>) {
    let is_local = |plugin: &Plugin| !plugin.etcd().exists();
    if !setup.payments().any(is_local) {
        return;
    }
    for replicas in &setup.replicas {
        if replicas.number() > Some(1) {
            found.add(replicas, "1");
        }
    }
}

fn claims_in_one_process(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies().filter(|(plugin, _)| !plugin.etcd().exists()) {
        let open = setup.listeners.get(proxy.listener).and_then(Listener::open_address);
        if let Some(address) = open {
            let host = address.down(&["socket_address", "address"]);
            found.add(&host, "loopback, or one replica for all payments of a partner");
        }
    }
}
