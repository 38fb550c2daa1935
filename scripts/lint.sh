#!/usr/bin/env bash
# Formatting, clippy, and when installed cargo-deny.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh
step "formatting"
cargo fmt --all --check
(cd plugins && cargo fmt --all --check)
step "clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
(cd plugins && cargo clippy --locked --workspace --all-targets -- -D warnings)
step "shape of the tree"
scripts/tidy.sh
if command -v cargo-deny >/dev/null; then
  step "licences and dependencies"
  cargo deny --all-features check bans licenses sources
  (cd plugins && cargo deny --all-features --config ../deny.toml check bans licenses sources)
else
  say "skipped: licences and dependencies (cargo install cargo-deny)"
fi
