#!/usr/bin/env bash
# `make dist-push`: the images of `make dist` to a registry, each under the version and nothing that moves.
#   push.sh FOLDER REGISTRY [OPTION OF SKOPEO...]
# `skopeo login` comes before.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 registry=${2:?expected a registry, as in REGISTRY=ghcr.io/owner/name}
shift 2
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
digest() { # REFERENCE OPTION...: of what is there
  skopeo inspect --raw "${@:2}" "$1" 2>/dev/null | sha256sum | cut -d' ' -f1
}

for image in "$folder"/images/*; do
  to=$registry/${image##*/}:$version
  there=$(digest "docker://$to" "${@/--dest-/--}" || true)
  case $there in
    # Nothing, or nothing that can be read.
    "$(: | sha256sum | cut -d' ' -f1)") skopeo copy --quiet --preserve-digests "$@" "oci:$image" "docker://$to" ;;
    "$(digest "oci:$image")") ;;
    # What was released under a version stays what it is.
    *) echo "push: $to is there already, and is another one: sha256:$there" >&2; exit 1 ;;
  esac
  echo "$to@sha256:$(digest "oci:$image")"
done
