#!/usr/bin/env bash
# `make dist-test`: builds the last commit twice, in two clones whose paths differ in length too, and compares all digests;
# those of FOLDER too, where `make dist` has been there for this commit.
#   twice.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
sums=$1/SHA256SUMS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for place in a a-longer/place; do
  git clone --quiet . "$work/$place"
  make --no-print-directory -C "$work/$place" dist
done
diff "$work/a/target/release-files/SHA256SUMS" "$work/a-longer/place/target/release-files/SHA256SUMS"
echo "equal: $(wc -l <"$work/a/target/release-files/SHA256SUMS") digests of two clones"
if [ "$(cat "$1/COMMIT" 2>/dev/null)" = "$(git rev-parse HEAD)" ]; then
  diff "$work/a/target/release-files/SHA256SUMS" "$sums"
  echo "equal: $sums too"
fi
