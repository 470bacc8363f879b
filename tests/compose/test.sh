#!/usr/bin/env bash
# `make compose-test`: builds the images of envoy/compose.yaml and tries the whole of it, with Docker where there is
# one, otherwise with podman as root (Debian's podman runc netavark aardvark-dns iptables debootstrap busybox-static).
#   test.sh FOLDER ENVOY PROMETHEUS ETCD
# FOLDER has podman-compose in bin/, ENVOY is that of PyPI, PROMETHEUS and ETCD the folders
# of tests/prometheus/install.sh and tests/etcd/install.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd) envoy=$2 prometheus=$(cd "$3" && pwd) etcd=$(cd "$4" && pwd)
compose=$here/../../envoy/compose.yaml

if docker info >/dev/null 2>&1; then
  echo "With Docker, and the public images."
  docker compose -f "$compose" --profile tls --profile etcd build
  exec python3 "$here/run.py" docker compose
fi
echo "There is no Docker engine: with podman and runc, and images that stand in for the public ones."
"$here/engine.sh" "$folder"
export CONTAINERS_CONF=$folder/containers.conf PATH=$folder/bin:$PATH
began=$SECONDS
"$here/images.sh" "$folder" "$envoy" "$prometheus" "$etcd" >"$folder/images.log" 2>&1 || { tail -20 "$folder/images.log"; exit 1; }
grep '^images: ' "$folder/images.log" || true
echo "The images are built: $((SECONDS - began)) s."
exec python3 "$here/run.py" podman-compose
