#!/usr/bin/env bash
# The page's tests in a real Chromium, against a hub that runs: BASE_URL and ADMIN_PASSWORD say which. HUB_PID lets them stop and
# continue it. SCREENSHOTS=folder keeps pictures. What is missing is installed as root on Debian or Ubuntu, else the tests are skipped; CI=true makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

ui=hub/dashboard/ui
skip() {
  [ "${CI:-}" = true ] && fail "browser tests: $1"
  say "skipped: browser tests ($1)"
  exit 0
}

[ -n "${BASE_URL:-}" ] && [ -n "${ADMIN_PASSWORD:-}" ] || fail "set BASE_URL and ADMIN_PASSWORD to those of a running hub"
chromium() { [ -n "${CHROMIUM:-}" ] || [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] || [ -x /usr/bin/google-chrome ]; }
if ! chromium && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  step "installing chromium"
  export DEBIAN_FRONTEND=noninteractive
  quiet apt-get -q update && quiet apt-get -q install -y --no-install-recommends chromium || :
fi
chromium || skip "Chromium is not installed; on Debian or Ubuntu: sudo apt-get install chromium"
command -v node >/dev/null || skip "Node.js is not installed; on Debian or Ubuntu: sudo apt-get install nodejs npm"
[ -d $ui/node_modules/playwright-core ] || scripts/build-ui.sh
[ -d $ui/node_modules/playwright-core ] || skip "the page's tools could not be installed"

# Pictures are taken where the caller is, the tests run in their own folder.
[ -z "${SCREENSHOTS:-}" ] || export SCREENSHOTS=$(realpath -m "$SCREENSHOTS")
cd $ui
exec node tests/browser/run.mjs
