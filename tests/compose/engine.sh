#!/usr/bin/env bash
# A container engine where there is no Docker: podman with runc, set up in a folder and nowhere else.
#   engine.sh FOLDER
# writes FOLDER/containers.conf, for CONTAINERS_CONF. It needs Debian's podman, runc, netavark, aardvark-dns and
# iptables, and root.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
for program in podman runc iptables python3; do
  command -v "$program" >/dev/null || { echo "$program is missing: apt-get install podman runc netavark aardvark-dns iptables python3" >&2; exit 2; }
done

# In a container runc may not set a limit of processes: what it starts goes without.
cat >"$folder/runc" <<'RUNC'
#!/bin/sh
last=
for word; do
    case $last in
        --bundle|-b) file=$word/config.json ;;
        --process|-p) file=$word ;;
    esac
    last=$word
done
[ -z "${file:-}" ] || python3 - "$file" <<'PYTHON'
import json, sys
config = json.load(open(sys.argv[1]))
config.get("process", config).pop("rlimits", None)
json.dump(config, open(sys.argv[1], "w"))
PYTHON
exec runc "$@"
RUNC
chmod +x "$folder/runc"

cat >"$folder/containers.conf" <<CONF
[network]
network_backend = "netavark"
[engine]
runtime = "here"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
here = ["$folder/runc"]
CONF
