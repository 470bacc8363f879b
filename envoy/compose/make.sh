#!/bin/sh
# Makes envoy/compose/envoy.yaml of the reference configuration, for containers that find each other by name:
#   envoy/compose/make.sh [FILE]
# Other addresses of the gateways, listeners that the host can reach, a place for the audit trail that outlives
# the container, a token for operators, and the listener for Prometheus. All else is as in envoy/envoy.yaml.
set -eu
to=$(realpath -m "${1:-$(dirname "$0")/envoy.yaml}")
cd "$(dirname "$0")/.."

awk '
  # stats.yaml has a listener first and a cluster second.
  FNR == NR { if (/^- name:/) part++; if (part) piece[part] = piece[part] "  " $0 "\n"; next }
  FNR == 1 {
    print "# Made by envoy/compose/make.sh of envoy/envoy.yaml and envoy/stats.yaml, for envoy/compose.yaml. Its token for\n# operators is `dana-sandbox`, which everybody knows: this is a playground.\n"
  }
  /^[^#]/ { begun = 1 }
  !begun { next }
  /^  clusters:/ { printf "%s\n", piece[1] }
  { print }
  /^  clusters:/ { printf "%s", piece[2] }
' stats.yaml envoy.yaml | sed \
    -e 's/{address: 127.0.0.1, port_value: 1000\([01]\)}/{address: 0.0.0.0, port_value: 1000\1}/' \
    -e 's/{address: 127.0.0.1, port_value: 1808\([12]\)}/{address: sandbox, port_value: 1808\1}/' \
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
  { print }' > "$to"
