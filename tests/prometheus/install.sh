#!/usr/bin/env bash
# prometheus, promtool and prometheus-alertmanager into FOLDER/bin, and Alertmanager's templates into FOLDER/share, from
# Debian's packages. Nothing is installed, and root is not needed. A download whose checksum is another one is not used.
#
#     install.sh FOLDER
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

# The revisions of Debian stable ("trixie"), and the SHA-256 of the packages.
prometheus=2.53.3+ds1-2
alertmanager=0.28.1+ds-1
case $(uname -sm) in
  "Linux x86_64")
    arch=amd64
    sums=(58c3e6a86c56cb3bfd71032fa48d65945d526441a212f5815dfe5ed9cb787ecc
      ff27654eacc95abd846d344e91fe4ba3b4f0588a50d606ed1d2f09ad3408722f
      76ee08c2bf686fa32ca243d099b6bfc6cb00074e9337c18ef73154b60c5830a9) ;;
  "Linux aarch64")
    arch=arm64
    sums=(59b459dee0ceef9c645a98166ea00f0d10946391a5d486505360e2d21cd1ddec
      cc1d5889b4d2e2ef92a6984039d88c11993ad3c73f5e74acd3ee15adaefb764c
      abd779fb3877d7749527a9028dae6f3c5b0e21853267b7a183f7835d6079a92b) ;;
  *) arch=none sums=() ;;
esac

work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/support/debian.sh
. "$here/../support/debian.sh"

fetch() {
  package "p/prometheus/prometheus_${prometheus}_$arch.deb" "${sums[0]}" || return
  package "p/prometheus/promtool_${prometheus}_$arch.deb" "${sums[1]}" || return
  package "p/prometheus-alertmanager/prometheus-alertmanager_${alertmanager}_$arch.deb" "${sums[2]}" || return
  mkdir "$work/bin"
  cp "$work"/usr/bin/{prometheus,promtool,prometheus-alertmanager} "$work/bin"
}

if [ $arch = none ] || ! fetch >"$work/log" 2>&1; then
  [ ! -f "$work/log" ] || cat "$work/log" >&2
  echo "prometheus and promtool cannot be had for this machine: install them yourself, and say where they are, as in" \
    "PROMETHEUS_BIN=/usr/bin make test" >&2
  exit 1
fi
rm -rf "$folder/bin" "$folder/share"
mv "$work/usr/share/prometheus/alertmanager" "$folder/share"
mv "$work/bin" "$folder/bin"
"$folder/bin/promtool" --version 2>&1 | head -1
