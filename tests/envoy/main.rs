//! The filter on a real Envoy, against sandbox gateways over real sockets.
//!
//! - `admin`: the operators' listener: status, overrides, payments in doubt
//! - `aggregate`: an Envoy without composite clusters
//! - `audit`: the audit trail: what stands in it, and that nothing is missing
//! - `capabilities`: what the filter's VMs may do
//! - `etcd`: the cluster of an etcd that several Envoys share
//! - `evidence`: every row of the evidence table that a socket can cause
//! - `census`: what operators see of the store
//! - `claims`: races, reuse of keys, replays, repeats, clients that leave
//! - `detection`: how soon a failing gateway is left, as a table
//! - `dns`: gateways that are found by name
//! - `doubt`: every way for an outcome to be unknown, against everything that may come next
//! - `dump`: what `check` reads of a running Envoy
//! - `failover`: in-request, by the breaker, and back
//! - `first_day`: what an SRE meets first: counters, counts, a full store, restarts
//! - `half_open`: trials of a gateway that may be well again, and clients that leave in them
//! - `heartbeat`: what heartbeats can and cannot do against traffic
//! - `lds`: listeners in a file, and what is changed by it while payments go on
//! - `load`: too much under way, one partner in trouble
//! - `metrics`: what a payment leaves in the metrics
//! - `never_sent`: ways not to reach a gateway, and what follows
//! - `notify`: gateways' notifications, and what reaches the application
//! - `provenance`: who gave an answer, whatever Envoy removes, renames or adds
//! - `paths`: every path that the SDKs call
//! - `requests`: how a request may be shaped, and which ones are refused
//! - `mistakes`: configurations that Envoy must refuse to start with
//! - `secrets`: what is told of secrets: nothing
//! - `replays`: what a payment that was executed is told again
//! - `slow`: a store that answers late, or not at all
//! - `survival`: what claims must outlive: deaths, updates, clients that leave, draining
//! - `tenants`: merchants who share an Envoy, one of whom means ill
//! - `tls`: TLS on both sides, and whatever may be wrong with it
//! - `trap`: what Envoy says when the VM dies
//! - `sdk`: DANA's own SDKs through it all

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod aggregate;
mod audit;
mod capabilities;
mod census;
mod claims;
mod detection;
mod dns;
mod doubt;
mod dump;
mod etcd;
mod evidence;
mod failover;
mod first_day;
mod half_open;
mod heartbeat;
mod lds;
mod load;
mod metrics;
mod mistakes;
mod never_sent;
mod notify;
mod otlp;
mod paths;
mod provenance;
mod replays;
mod requests;
mod scope;
mod sdk;
mod secrets;
mod slow;
mod survival;
mod tenants;
mod tls;
mod trap;
mod walk;
