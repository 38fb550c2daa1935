#!/usr/bin/env bash
# Builds the shipped plugins into plugins/dist/NAME.wasm and the misbehaving ones of the tests into plugins/dist/testbed/.
# Nothing is done when no input has changed. PROFILE=dev builds the small tool that packs them without optimisation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

dist=plugins/dist
stamp=$dist/.stamp
inputs() {
  rustc -vV
  { find wit sdk plugins -path plugins/target -prune -o -path plugins/dist -prune -o -path sdk/examples -prune -o -type f -print; echo scripts/build-plugins.sh; } |
    LC_ALL=C sort | xargs -d '\n' sha256sum
}
now=$(inputs | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$now" ]; then
  say "    up to date in $dist"
  exit 0
fi

scripts/wasm-target.sh
step "compiling the plugins"
# Their own folder: host and guests share no build products, and the hub's must not be invalidated.
CARGO_TARGET_DIR=plugins/target cargo build --locked --quiet --manifest-path plugins/Cargo.toml --workspace --lib --release --target wasm32-unknown-unknown
step "packing the plugins"
profile=${PROFILE:-release}
cargo build --locked --quiet --profile "$profile" -p streamflow-component --bin streamflow-componentize
folder=$profile; [ "$profile" = dev ] && folder=debug
pack=${CARGO_TARGET_DIR:-target}/$folder/streamflow-componentize

rm -rf "$dist.new"
mkdir -p "$dist.new/testbed"
for manifest in plugins/*/*/plugin.toml; do
  from=$(dirname "$manifest")
  name=$(basename "$from")
  case $from in plugins/testbed/*) out=testbed/$name.wasm ;; *) out=$name.wasm ;; esac
  package=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$from/Cargo.toml" | sed -n 1p)
  "$pack" "plugins/target/wasm32-unknown-unknown/release/${package//-/_}.wasm" "$manifest" "$dist.new/$out"
  say "    $dist/$out ($(($(stat -c %s "$dist.new/$out") / 1024)) KiB)"
done
echo "$now" >"$dist.new/.stamp"
rm -rf "$dist"
mv "$dist.new" "$dist"
