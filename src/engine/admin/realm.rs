//! What operators are told about a store in etcd: how it stands, who shares it, and why it does not do
//! as they want.

use super::object::Object;
use super::status::StatusReport;
use crate::engine::config::EtcdConfig;
use crate::engine::store::StoreLink;

/// Why an operator does not get what they asked of a store in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RealmProblem {
    /// It does not answer, or refuses. Nothing was written.
    Away,
    /// It was asked to write an operator's word, and whether it has is not known.
    Unclear,
    /// No Envoy has joined the realm.
    NotJoined,
    /// A record that cannot be read here.
    Unreadable,
    /// Nobody has counted its claims yet.
    NotCounted,
}

impl RealmProblem {
    /// Status, reason and title.
    pub(super) const fn form(self) -> (u16, &'static str, &'static str) {
        let (reason, title) = match self {
            Self::Away => ("store_away", "Store Does Not Answer"),
            Self::Unclear => ("store_failed", "Store Failed"),
            Self::NotJoined => ("not_joined", "No Envoy Has Joined The Realm"),
            Self::Unreadable => ("unreadable", "Record Cannot Be Read Here"),
            Self::NotCounted => ("not_counted", "Claims Are Not Counted Yet"),
        };
        (503, reason, title)
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Away => {
                "The claim store in etcd does not answer, or refuses: GET /status and Envoy's log say \
                 more. Nothing was changed."
            }
            Self::Unclear => {
                "The claim store in etcd was asked to write it and has not answered. Whether it is \
                 written is not known. Say it again: what is so already is not changed."
            }
            Self::NotJoined => {
                "No Envoy has joined this realm in etcd, so there are no payments in it. Give this \
                 listener the configuration of the payments' listener. Nothing was changed."
            }
            Self::Unreadable => {
                "The record cannot be read here: another version of the filter has written it, or it \
                 names a gateway that this Envoy does not have, or it comes from a clock that is too far \
                 ahead. Ask an Envoy that has the gateway, with the same module. Nothing was changed."
            }
            Self::NotCounted => {
                "The payments' filter has not counted the claims in etcd yet. It does so every few \
                 seconds while etcd answers: GET /status says whether it does."
            }
        }
    }
}

impl StatusReport<'_> {
    /// How the worst of the workers stands with the store in etcd, if there is one.
    pub(super) fn link(&self) -> Option<StoreLink> {
        self.links.and_then(|links| links.worst(self.now))
    }

    /// Who shares what is told.
    pub(super) fn scope(&self) -> Object {
        let is_shared = self.policy.config.store.etcd().is_some();
        Object::new()
            .with("claims", if is_shared { "realm" } else { "process" })
            .with("health", "process")
            .with("overrides", "process")
    }

    /// What is known of the store.
    pub(super) fn store(&self) -> Option<Object> {
        let Some(EtcdConfig { cluster, realm, .. }) = self.policy.config.store.etcd() else {
            return self.doubt.map(|doubt| doubt.store());
        };
        let links = self.links.cloned().unwrap_or_default();
        let count = |object: Object, link: StoreLink| {
            object.with(link.name(), links.count(link, self.now) as u64)
        };
        let workers = StoreLink::ALL.into_iter().fold(Object::new(), count);
        let object = Object::new()
            .with("engine", "etcd")
            .with("cluster", cluster.as_str())
            .with("realm", realm.as_str())
            .with("link", self.link().map_or("unknown", StoreLink::name))
            .with("workers", workers)
            .with("unfinished", links.unfinished(self.now))
            .with("claims", self.doubt.map(|doubt| doubt.claims()))
            .with("local", self.doubt.and_then(|doubt| doubt.local()));
        Some(object)
    }
}
