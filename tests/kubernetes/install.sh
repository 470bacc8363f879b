#!/usr/bin/env bash
# kubectl into FOLDER/bin from Debian's package, and what validate.py needs beside it. Nothing is installed, and root is
# not needed. A download whose checksum is another one is not used.
#
#     install.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ -x "$1/bin/python" ] || python3 -m venv "$1"
folder=$(cd "$1" && pwd)
"$folder/bin/pip" install --quiet --requirement "$here/requirements.txt"

# Whoever has one names it.
[ -z "${KUBECTL:-}" ] || exit 0

# The revision of Debian stable ("trixie"), and the SHA-256 of the package.
version=1.32.3+ds-2
case $(uname -sm) in
  "Linux x86_64") arch=amd64 sum=9825aaf4c14913027aae04af8688e580459f781c829bd5de00cc4dc2cc5a867f ;;
  "Linux aarch64") arch=arm64 sum=b85800b5e2d2ecc958e2b9dfa7d4ce13b14e1175242de1f71acb4fa4b0b63212 ;;
  *) arch=none sum= ;;
esac

work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/support/debian.sh
. "$here/../support/debian.sh"

if [ $arch = none ] || ! package "k/kubernetes/kubectl_${version}_$arch.deb" $sum >"$work/log" 2>&1; then
  [ ! -f "$work/log" ] || cat "$work/log" >&2
  echo "kubectl cannot be had for this machine: install it yourself, and say where it is, as in KUBECTL=/usr/bin/kubectl" >&2
  exit 1
fi
mv "$work/usr/bin/kubectl" "$folder/bin/kubectl"
"$folder/bin/kubectl" version --client
