#!/usr/bin/env bash
# Builds the page into hub/dashboard/ui/dist, from where it is put into the hub. Nothing is done when no input has changed.
# Without Node.js 18 or newer it says so and succeeds: the hub builds without the page as well.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

ui=hub/dashboard/ui
stamp=$ui/dist/.stamp
oldest=18

usable() { command -v node >/dev/null && command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge $oldest ]; }

if ! usable && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  step "installing nodejs and npm"
  export DEBIAN_FRONTEND=noninteractive
  quiet apt-get -q update && quiet apt-get -q install -y --no-install-recommends nodejs npm || :
fi
if ! usable; then
  say "    skipped: the page needs Node.js $oldest or newer with npm (Debian, Ubuntu: sudo apt-get install nodejs npm)"
  say "    the hub builds without it, and its page says how to get the real one"
  exit 0
fi

inputs() {
  node --version
  find "$ui" \( -name node_modules -o -name dist \) -prune -o -type f -print | LC_ALL=C sort | xargs -d '\n' sha256sum
}
now=$(inputs | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && [ -d "$ui/node_modules" ]; then
  say "    up to date in $ui/dist"
  exit 0
fi

if ! cmp -s "$ui/package-lock.json" "$ui/node_modules/.lock-of-install"; then
  step "fetching what the page is built with"
  quiet npm --prefix "$ui" ci --no-fund --no-audit --loglevel=error
  cp "$ui/package-lock.json" "$ui/node_modules/.lock-of-install"
fi
step "checking the page's types"
npm --prefix "$ui" run --silent check
step "building the page"
quiet npm --prefix "$ui" run --silent build
echo "$now" >"$stamp"

# The page must be quick on a slow line: what it loads first is bounded, and so is all of it.
first=81920
all=153600
compressed() { gzip -9c "$@" | wc -c; }
mapfile -t begin < <(grep -oE 'assets/[^"]+\.js' "$ui/dist/index.html" | sed "s|^|$ui/dist/|" | sort -u)
size=$(compressed "${begin[@]}")
total=$(find "$ui/dist/assets" -name '*.js' -exec gzip -9c {} + | wc -c)
say "    $ui/dist, $((size / 1024)) KiB of script at first, $((total / 1024)) KiB in all (compressed)"
[ "$size" -le $first ] || fail "the script that the page loads first has $size bytes compressed, more than $first"
[ "$total" -le $all ] || fail "the page's scripts have $total bytes compressed, more than $all"
