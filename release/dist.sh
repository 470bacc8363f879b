#!/usr/bin/env bash
# `make dist`: everything that a release ships, into FOLDER, with its digests.
#   dist.sh FOLDER
# The same commit and toolchain give the same bytes, wherever the checkout lies: paths of this machine are taken out of the
# modules and of the command line tool.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain)" ]; then
  echo "dist: there are changes that are not committed: what is shipped is a commit" >&2
  exit 2
fi
# They would take the place of the flags below, and of those in .cargo/config.toml.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! rustc --version | grep -qF "rustc $wanted "; then
  echo "dist: expected rustc $wanted, found $(rustc --version)" >&2
  exit 2
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
mkdir -p "$1"
rm -rf "${1:?}"/*
out=$(cd "$1" && pwd)
build=$PWD/target/dist
wasm=wasm32-unknown-unknown

cargo_home=${CARGO_HOME:-$HOME/.cargo}
remap="'--remap-path-prefix=$PWD=/src', '--remap-path-prefix=$cargo_home=/cargo', '--remap-path-prefix=$(rustc --print sysroot)=/rust'"
build_for() { # TARGET FLAGS...
  local target=$1
  shift
  # Besides what .cargo/config.toml says.
  cargo build --quiet --locked --release --target "$target" --target-dir "$build" \
    --config "target.$target.rustflags = [$remap]" "$@"
}

mkdir "$out/modules" "$out/images" "$out/sbom"
for module in payments: payments-etcd:etcd operators:operators notify:notify; do
  name=${module%%:*} features=${module#*:}
  build_for $wasm --lib ${features:+--features "$features"}
  suffix=$([ "$name" = payments ] || echo "_${features}")
  file=dana_failover$suffix.wasm
  cp "$build/$wasm/release/dana_failover.wasm" "$out/modules/$file"
  python3 release/oci.py "$out/modules/$file" "$version" "$out/images/$name"
  python3 release/sbom.py $wasm "$features" >"$out/sbom/$file.cdx.json"
done

host=$(rustc --version --verbose | sed -n 's/^host: //p')
build_for "$host" --bin dana-failover
mkdir "$out/bin"
cp "$build/$host/release/dana-failover" "$out/bin/dana-failover-$host"
python3 release/sbom.py "$host" "" >"$out/sbom/dana-failover-$host.cdx.json"

# What is configured with it.
git archive HEAD envoy docs/{config,envoy,audit,status}.schema.json LICENSE CHANGELOG.md | tar -x -C "$out"

git rev-parse HEAD >"$out/COMMIT"

cd "$out"
find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum >SHA256SUMS
echo "$(wc -l <SHA256SUMS) files, $(du -sh . | cut -f1): $out"
