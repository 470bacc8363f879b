#!/usr/bin/env bash
# `make dist-sign`: signs the digests of a release, and says where it comes from, with the identity of the forge's
# workflow that runs this: there is no key that somebody could lose. It works there alone, and builds nothing: whatever
# ran here could sign.
#   sign.sh FOLDER SIGSTORE
# FOLDER is that of `make dist`, SIGSTORE the program of that name. It writes SHA256SUMS.sigstore.json and
# SHA256SUMS.provenance.sigstore.json.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 sigstore=$2
(cd "$folder" && sha256sum --check --quiet SHA256SUMS)
python3 release/provenance.py "$folder" >"$folder/../provenance.json"
"$sigstore" sign --overwrite --bundle "$folder/SHA256SUMS.sigstore.json" "$folder/SHA256SUMS"
"$sigstore" attest --overwrite --predicate "$folder/../provenance.json" --predicate-type https://slsa.dev/provenance/v1 \
  --bundle "$folder/SHA256SUMS.provenance.sigstore.json" "$folder/SHA256SUMS"
