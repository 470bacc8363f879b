#!/usr/bin/env bash
# The images of envoy/compose.yaml, built on this machine.
#   images.sh FOLDER ENVOY PROMETHEUS ETCD
# Where registries can be reached this is `docker compose build`, and not this script. Here the public images are
# stood in for, under their own names, by what this machine has: Debian's own files, its Rust, the Envoy of
# PyPI, Debian's Prometheus, Alertmanager and etcd. Ours are built by envoy/Dockerfile as it is, on top of them.
# There is no stand-in for Grafana.
set -euo pipefail
folder=$1 envoy=$2 prometheus=$3 etcd=$4
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$folder/images
mkdir -p "$work"

say() { echo "images: $*" >&2; }

has() { podman image exists "$1"; }

build() { # IMAGE, and the Dockerfile on standard input
  podman build --quiet --isolation chroot --network host -t "$1" -f - "$work" >/dev/null
}

base=docker.io/library/debian:13-slim
if ! has $base; then
  say "$base: debootstrap"
  rm -rf "$work/debian"
  debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,make bookworm "$work/debian" >"$work/debootstrap.log" ||
    { tail -5 "$work/debootstrap.log" >&2; exit 1; }
  tar -C "$work/debian" -c . | podman import --quiet - $base >/dev/null
  rm -rf "$work/debian"
fi

# The toolchain itself is mounted: it is larger than all else together.
say "the image of Rust: Debian with this machine's $(rustc --version)"
build localhost/rust <<'FILE'
FROM docker.io/library/debian:13-slim
ENV PATH=/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/cargo CARGO_NET_OFFLINE=true
FILE

say "docker.io/envoyproxy/envoy: Debian with $("$envoy" --version | grep version)"
binary=$(find "$(dirname "$envoy")/../lib" -path '*/envoy/_bin/envoy' -size +50M | head -1)
cp "$binary" "$work/envoy"
tag=$(sed -n 's/^ARG ENVOY_IMAGE=//p' "$root/envoy/Dockerfile")
build "$tag" <<'FILE'
FROM docker.io/library/debian:13-slim
COPY envoy /usr/local/bin/envoy
FILE

image_of() { # SERVICE
  sed -n "s|^ *image: \([a-z]*\.io/.*$1.*\)|\1|p" "$root/envoy/compose.yaml"
}

cp "$prometheus"/bin/{prometheus,prometheus-alertmanager} /bin/busybox "$work"
rm -rf "$work/alertmanager" && cp -r "$prometheus/share" "$work/alertmanager"
say "$(image_of prometheus): Debian's $("$prometheus/bin/prometheus" --version 2>&1 | sed -n 's/^prometheus, \(version [^ ]*\).*/\1/p')"
build "$(image_of prometheus)" <<'FILE'
FROM docker.io/library/debian:13-slim
COPY prometheus busybox /bin/
RUN ln -s busybox /bin/wget
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]
FILE
say "$(image_of alertmanager): Debian's $("$prometheus/bin/prometheus-alertmanager" --version 2>&1 | sed -n 's/^alertmanager, \(version [^ ]*\).*/\1/p')"
build "$(image_of alertmanager)" <<'FILE'
FROM docker.io/library/debian:13-slim
COPY prometheus-alertmanager /bin/alertmanager
COPY alertmanager /usr/share/prometheus/alertmanager
COPY busybox /bin/
RUN ln -s busybox /bin/wget
USER 65534:65534
ENTRYPOINT ["/bin/alertmanager"]
FILE

cp "$etcd"/bin/{etcd,etcdctl} "$work"
say "$(image_of etcd): Debian's $("$etcd/bin/etcd" --version | head -1)"
build "$(image_of etcd)" <<'FILE'
FROM docker.io/library/debian:13-slim
COPY etcd etcdctl /usr/local/bin/
FILE

for target in cli certificates envoy payments; do
  say "dana-failover/$target: envoy/Dockerfile"
  podman build --quiet --isolation chroot --network host \
    --volume "$(rustc --print sysroot):/rust:ro" \
    --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/cargo/registry:rw" \
    --build-arg RUST_IMAGE=localhost/rust --target $target -t dana-failover/$target \
    -f "$root/envoy/Dockerfile" "$root" >/dev/null
done
