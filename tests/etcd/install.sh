#!/usr/bin/env bash
# etcd and etcdctl into FOLDER/bin: from Debian's packages where apt has a Debian mirror, otherwise
# from etcd's own release. Nothing is installed, and root is not needed. A download whose checksum
# is another one is not used.
#
#     install.sh FOLDER
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)

version=3.5.16
# The revision of Debian stable ("trixie"). The packages run on older ones too: they need libc alone.
debian=$version-4
# SHA-256 of the two packages, and of the release.
case $(uname -sm) in
  "Linux x86_64")
    arch=amd64
    server=0875921bb0d023f2af9b8e15cdfbe417a03e65731345fb832c40f9c2dd72967b
    client=7eb67e305ba2ce523a5a0b29bf88750ded3f724769c7111a83382b7909f9977b
    release=b414b27a5ad05f7cb01395c447c85d3227e3fb1c176e51757a283b817f645ccc ;;
  "Linux aarch64")
    arch=arm64
    server=5e21469a4f59f1cb2ed7af9c6eb9dda7d9734809c011cfa8a39b34f82a161a32
    client=56c3527045c4ddd0aca5a572897b9a72e43a015cb09a01c79acc08eda17904ca
    release=8e68c55e6d72b791a9e98591c755af36f6f55aa9eca63767822cd8a3817fdb23 ;;
  *) arch=none ;;
esac

# shellcheck source=tests/support/debian.sh
. "$(dirname "$0")/../support/debian.sh"

from_debian() {
  package "e/etcd/etcd-server_${debian}_$arch.deb" $server || return
  package "e/etcd/etcd-client_${debian}_$arch.deb" $client || return
  cp "$work"/usr/bin/etcd "$work"/usr/bin/etcdctl "$work/bin"
}

from_the_release() {
  local name=etcd-v$version-linux-$arch
  curl --fail --silent --show-error --location --connect-timeout 10 --max-time 120 \
    --output "$work/release.tar.gz" \
    "https://github.com/etcd-io/etcd/releases/download/v$version/$name.tar.gz" || return
  is_whole "$work/release.tar.gz" $release || return
  tar -x -z -C "$work" -f "$work/release.tar.gz" || return
  cp "$work/$name/etcd" "$work/$name/etcdctl" "$work/bin"
}

work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
if [ $arch = none ] || ! { from_debian || from_the_release; } >"$work/log" 2>&1; then
  [ ! -f "$work/log" ] || cat "$work/log" >&2
  echo "etcd $version cannot be had for this machine: install etcd 3.5 yourself, and say where it" \
    "is, as in ETCD_BIN=/usr/bin/etcd make test" >&2
  exit 1
fi
rm -rf "$folder/bin"
mv "$work/bin" "$folder/bin"
"$folder/bin/etcd" --version
