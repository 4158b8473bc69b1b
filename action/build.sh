#!/bin/sh
# What action.yml runs first: builds the plugin beside which it stands, as $VERSION, and
# puts it into the PATH of the steps that follow.
set -eu

bin=$RUNNER_TEMP/serviceconnections
mkdir -p "$bin"
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=${VERSION:-}" -o "$bin/" ./cmd/kubectl-serviceconnections
echo "$bin" >> "$GITHUB_PATH"
