#!/usr/bin/env bash
# Builds in the release profile, measures, and writes docs/benchmarks.md. Arguments: rows to measure, or --quick.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh
scripts/build.sh
cargo build --locked --release -p streamflow-analytics -p streamflow-plugin-host --examples
step "measuring; takes some minutes"
exec "${CARGO_TARGET_DIR:-target}/release/streamflow-bench" "$@"
