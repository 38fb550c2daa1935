#!/usr/bin/env bash
# Every test: Rust (unit, property, real servers, real binaries end to end, browser), the plugins', the page's.
# CI=true turns a skip into a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

export PROFILE=dev   # one profile for everything that tests need

scripts/setup.sh build test
step "the page"
scripts/build-ui.sh
if [ -d hub/dashboard/ui/node_modules ]; then
  step "the page's tests"
  npm --prefix hub/dashboard/ui test --silent
elif [ "${CI:-}" = true ]; then
  fail "the page could not be built here, so its tests cannot run"
else
  say "skipped: the page's tests (no Node.js on this machine)"
fi
step "the shipped plugins"
scripts/build-plugins.sh
step "the plugins' own tests"
cargo test --locked --manifest-path plugins/Cargo.toml --workspace --quiet --lib
step "building all tests"
cargo build --locked --workspace --bins
if command -v cargo-nextest >/dev/null; then
  step "tests"
  cargo nextest run --locked --workspace --no-fail-fast
else
  step "tests"
  cargo test --locked --workspace --no-fail-fast
fi
