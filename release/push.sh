#!/usr/bin/env bash
# `make dist-push`: the images of `make dist` to a registry, each under the version and nothing that moves.
#   push.sh FOLDER REGISTRY [OPTION OF SKOPEO...]
# `skopeo login` comes before. What was released under a version stays what it is.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 registry=${2:?expected a registry, as in REGISTRY=ghcr.io/owner/name}
shift 2
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
said=$(mktemp)
trap 'rm -f "$said"' EXIT

digest() { # REFERENCE OPTION...: of what is there; nothing where nothing is
  local manifest
  if manifest=$(skopeo inspect --raw "${@:2}" "$1" 2>"$said" && echo .); then
    printf %s "${manifest%.}" | sha256sum | cut -d' ' -f1
  elif ! grep -qiE 'manifest unknown|name unknown|not found' "$said"; then
    # Whoever cannot be asked may well have it.
    cat "$said" >&2
    return 1
  fi
}

for image in "$folder"/images/*; do
  to=$registry/${image##*/}:$version
  ours=$(digest "oci:$image")
  there=$(digest "docker://$to" "${@/--dest-/--}")
  case $there in
    "") skopeo copy --quiet --preserve-digests "$@" "oci:$image" "docker://$to" ;;
    "$ours") ;;
    *) echo "push: $to is there already, and is another one: sha256:$there" >&2; exit 1 ;;
  esac
  echo "$to@sha256:$ours"
done
