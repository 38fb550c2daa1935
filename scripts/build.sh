#!/usr/bin/env bash
# Builds everything that a person runs: the page, the shipped plugins, hub and agent.
# PROFILE=dev builds faster and runs slower; the default is release.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh
profile=${PROFILE:-release}

scripts/setup.sh build
step "the page"
scripts/build-ui.sh
step "the shipped plugins"
scripts/build-plugins.sh
step "hub and agent ($profile); the first time takes some minutes"
# One selection everywhere: another one would give dependencies other features and compile them twice.
cargo build --locked --profile "$profile" --workspace --bins
