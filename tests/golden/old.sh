#!/usr/bin/env bash
# The payments module of an older version, and beside it the operators' one if that version has one:
# old.sh REVISION|MODULE prints where it is. A revision is built once, in a worktree below target.
set -euo pipefail

if [ -f "$1" ]; then
    realpath "$1"
    exit
fi
cd "$(dirname "$0")/../.."
commit=$(git rev-parse --verify --quiet "$1^{commit}") || {
    echo "old.sh: $1 is neither a file nor a git revision" >&2
    exit 2
}
target=wasm32-unknown-unknown
place=$PWD/target/golden/${commit:0:12}
if [ ! -f "$place/payments.wasm" ]; then
    tree=$place/tree
    git worktree prune
    [ -d "$tree" ] || git worktree add --quiet --detach "$tree" "$commit" >&2
    built=$place/built/$target/release/dana_failover.wasm
    build() { (cd "$tree" && cargo build --quiet --locked --release --lib --target $target --target-dir "$place/built" "$@") >&2; }
    if grep -q '^operators = ' "$tree/Cargo.toml"; then
        build --features operators
        cp "$built" "$place/payments_operators.wasm"
    fi
    build
    cp "$built" "$place/payments.wasm"
    git worktree remove --force "$tree"
    rm -rf "$place/built"
fi
echo "$place/payments.wasm"
