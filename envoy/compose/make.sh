#!/bin/sh
# Makes the configurations of envoy/compose.yaml from the references, for containers that find each other by name:
#   envoy/compose/make.sh [FOLDER]
# envoy.yaml of envoy/envoy.yaml, tls.yaml of envoy/tls.yaml, etcd.yaml of envoy/envoy.yaml and envoy/etcd.yaml.
# Other addresses of what is called, listeners that the host can reach, a place for the audit trail that outlives
# the container, a token for operators, and the listener for Prometheus. All else is as the references have it.
set -eu
to=$(realpath -m "${1:-$(dirname "$0")}")
cd "$(dirname "$0")/.."

# The pieces, each a listener and a cluster, in the places that they are meant for.
with_pieces() { # HOST_OF_GATEWAYS REFERENCE [PIECE_WITH_A_CLUSTER]
  awk -v pieces="stats.yaml ${3:-}" -v from="$2" '
    BEGIN {
      count = split(pieces, files, " ")
      for (number = 1; number <= count; number++) {
        inside = 0
        while ((getline line < files[number]) > 0) {
          if (line ~ /^- name:/) { part++; inside = 1 }
          if (inside) piece[part] = piece[part] "  " line "\n"
        }
      }
      printf "# Made by envoy/compose/make.sh of envoy/%s and its pieces, for envoy/compose.yaml. Its token for\n", from
      print "# operators is `dana-sandbox`, which everybody knows: this is a playground.\n"
    }
    /^[^#]/ { begun = 1 }
    !begun { next }
    # stats.yaml has a listener first, and clusters follow.
    /^  clusters:/ { printf "%s\n", piece[1] }
    { print }
    /^  clusters:/ { for (number = 2; number <= part; number++) printf "%s", piece[number] }
  ' "$2" | sed \
    -e 's/{address: 127.0.0.1, port_value: 1000\([01]\)}/{address: 0.0.0.0, port_value: 1000\1}/' \
    -e "s/{address: 127.0.0.1, port_value: 1808\([12]\)}/{address: $1, port_value: 1808\1}/" \
    -e '/^  - name: dana_\(primary\|secondary\)$/,/connect_timeout/ s/    type: STATIC/@dns@/' \
    -e 's|/tmp/dana-audit.jsonl|/var/log/dana/audit.jsonl|' \
    -e "s/token_sha256: .*/token_sha256: $(printf %s dana-sandbox | sha256sum | cut -d' ' -f1)/" \
    | awk '
    # By name: the addresses of it are one endpoint, as envoy/dns.yaml has it.
    /^@dns@$/ {
      print "    cluster_type:\n      name: envoy.clusters.dns\n      typed_config:"
      print "        \"@type\": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
      print "        all_addresses_in_single_endpoint: true\n        dns_lookup_family: V4_PREFERRED"
      next
    }
    { print }'
}

# Claims in an etcd: the lines that docs/etcd.md names.
with_claims_in_etcd() {
  sed \
    -e 's/dana_failover\.wasm/dana_failover_etcd.wasm/' \
    -e '/^  - name: dana_etcd$/,/^  - name: dana_primary$/ s/type: STATIC/type: STRICT_DNS/' \
    -e 's/{address: 127.0.0.1, port_value: 2379}/{address: etcd-1, port_value: 2379}/' \
    -e 's/{address: 127.0.0.1, port_value: 22379}/{address: etcd-2, port_value: 2379}/' \
    -e 's/{address: 127.0.0.1, port_value: 32379}/{address: etcd-3, port_value: 2379}/' | awk '
    function allow(names,   each, count, number) {
      count = split(names, each, " ")
      for (number = 1; number <= count; number++) print "                    " each[number] ": {}"
    }
    { print }
    /^ +timeouts: &timeouts/ {
      print "                    idempotency: &idempotency {store: {etcd: {cluster: dana_etcd, realm: playground}}}"
    }
    /^ +timeouts: \*timeouts/ { print "                    idempotency: *idempotency" }
    /^ +proxy_http_call: \{\}/ { allow("proxy_grpc_call proxy_on_grpc_receive proxy_on_grpc_close proxy_continue_stream") }
    /capability_restriction_config: &operators/ { operators = 1 }
    operators && /allowed_capabilities:/ {
      allow("proxy_grpc_call proxy_on_grpc_receive proxy_on_grpc_close proxy_set_effective_context")
      operators = 0
    }'
}

with_pieces sandbox envoy.yaml >"$to/envoy.yaml"
with_pieces sandbox-tls tls.yaml >"$to/tls.yaml"
with_pieces sandbox envoy.yaml etcd.yaml | with_claims_in_etcd >"$to/etcd.yaml"
