//! The long help: what goes in, what comes out.

pub(super) const TEXT: &str = r#"INPUT: Envoy bootstraps in YAML or JSON. A bootstrap is read together with all resource files
beside it: a listener, cluster, route configuration or secret, a list of them, or a file with
`resources` as Envoy watches it. A resource takes the place of the bootstrap's one of its name, so
  dana-failover check envoy/envoy.yaml envoy/dns.yaml
checks the reference with gateways that are found by DNS. Several bootstraps are several Envoys.
What comes from a server (xDS, SDS) cannot be seen from here; a note says so.
A file may also be what Envoy's admin interface answers to /config_dump, or a Kubernetes manifest
with ConfigMaps, whose data are read as files with the manifest's own lines. `-` is standard input:
  curl -s localhost:9901/config_dump | dana-failover check -
A configuration in which nothing is about payments (neither the filter nor an endpoint that names
its gateway) is an error.

--accept FILE names findings that are accepted, in YAML:
  - rule: listener-open                   # as --explain lists it
    at: static_resources.listeners[0]     # the beginning of a finding's path; may be left out
    reason: Only the mesh reaches this pod.
They are shown and counted as accepted and do not change the exit code. An entry that accepts
nothing is a warning, one without a reason an error.

WORDS: of an error money is at risk, or the filter does not work. A warning costs payments that
need not fail, or a protection is missing. A note is good to know. `--explain` without a rule lists
all rules.

EXIT CODE: 0 fine (there may be notes), 1 errors or warnings, 2 a file that cannot be read or is
about something else, or a wrong command line.

--format json writes one document:
  files     as they were given
  findings  rule, severity (error, warning, note), title, file, line, column, path, expected, found,
            why, fix, accepted (the reason, or null); the worst first
  summary   errors, warnings, notes that nobody accepts, and accepted: how many of each
  stores    for each vm_id: engine (local, etcd), claims_max, retention_s, payments_per_second that the
            store sustains while refused_share of new payments are refused; of etcd realm, bytes_per_claim
            on disk, and what half of 8 GiB holds
--format sarif writes SARIF 2.1.0 for code scanning, with what is accepted as suppressed."#;
