#!/bin/sh
# Takes the listeners of a bootstrap out into a file of their own, which Envoy watches (LDS by file):
#   envoy/lds/make.sh [BOOTSTRAP [DIRECTORY]]
# writes DIRECTORY/envoy.yaml, what is left of it, and DIRECTORY/listeners.yaml. It reads files that
# are laid out as envoy/envoy.yaml is: static_resources first with listeners, then with clusters.
set -eu
here=$(dirname "$0")
from=${1:-$here/../envoy.yaml}
to=${2:-$here}
mkdir -p "$to"

awk '
  BEGIN { print "# Made by envoy/lds/make.sh: the listeners, in a file that Envoy watches. Put a changed one in its\n# place by mv, whole.\nresources:" }
  /^  listeners:/ { on = 1; next }
  /^  clusters:/ { on = 0 }
  on {
    sub(/^  /, "")
    if ($0 ~ /^- name:/) { print "- \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener"; sub(/^-/, " ") }
    print
  }' "$from" > "$to/listeners.yaml"

awk '
  BEGIN { print "# Made by envoy/lds/make.sh: a bootstrap whose listeners stand in a file that Envoy watches.\n" }
  /^node:/ { has_node = 1 }
  /^  listeners:/ { off = 1 }
  /^  clusters:/ { off = 0 }
  /^admin:/ {
    if (!has_node) print "# LDS wants to know who asks. On Kubernetes give the pod: --service-node \"$(HOSTNAME)\"\nnode: {id: dana-failover, cluster: dana-failover}\n"
    print "dynamic_resources:\n  lds_config:\n    path_config_source:\n      path: /etc/envoy/lds/listeners.yaml\n      # Also seen when a mounted ConfigMap changes.\n      watched_directory: {path: /etc/envoy/lds}\n"
  }
  !off && (seen || /^[a-z]/) { seen = 1; print }' "$from" > "$to/envoy.yaml"
