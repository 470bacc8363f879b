//! Why a worker cannot join a realm, as operators are told.

pub(super) const NO_ETCD: &str = "a call without a key was answered: what the cluster of \
    idempotency.store.etcd reaches is no etcd";

pub(super) const UNHEARD: &str = "Envoy does not tell how calls end: allowed_capabilities of \
    capability_restriction_config must have proxy_on_grpc_receive and proxy_on_grpc_close";

pub(super) const NO_COMPARE: &str = "a claim that was there was claimed again: what the cluster of \
    idempotency.store.etcd reaches does not compare as etcd does";

pub(super) const ANOTHER: &str = "etcd knows less than it did: it was emptied, restored from a backup, or is another \
    one. Payments that were claimed may be missing there, so this Envoy claims nothing until it is \
    restarted: see docs/etcd.md, when most members are lost";

pub(super) const ELSEWHERE: &str = "this is not the realm that this Envoy has joined before: the cluster of \
    idempotency.store.etcd leads to another etcd, or the realm was begun anew there, where payments that were \
    claimed are missing. Correct the cluster, or see docs/etcd.md and restart this Envoy";

pub(super) const DENIED: &str = "etcd refuses the request: the role of the client certificate may not write \
    below /dana/v1/ and the realm, or etcd has no space";
