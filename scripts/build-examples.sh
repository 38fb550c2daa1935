#!/usr/bin/env bash
# Builds the rules of sdk/examples, each in another language, into sdk/examples/dist/NAME.wasm:
# build-examples.sh [javascript] [spidermonkey] [python] [c], all of them when none is named. Nothing is done when no input has changed.
# The tools are fetched at the versions that the examples pin. What cannot be had is said, and that example is skipped; CI=true makes
# that a failure. COMPONENTIZE names the packing tool where it is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

examples=sdk/examples
dist=$examples/dist

skip() {
  [ "${CI:-}" != true ] || fail "the example in $1: $2"
  say "skipped: the example in $1 ($2)"
}

broken() { fail "the example in $name does not build"; }

# command package…: as root on Debian or Ubuntu what is missing is installed.
have() {
  local command=$1; shift
  command -v "$command" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    quiet apt-get -q update || :
    quiet apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" || :
  fi
  command -v "$command" >/dev/null
}

# folder: what npm's lock names, once.
packages() {
  cmp -s "$1/package-lock.json" "$1/node_modules/.lock-of-install" && return
  step "fetching the tools of $1"
  quiet npm --prefix "$1" ci --no-fund --no-audit --loglevel=error || return
  cp "$1/package-lock.json" "$1/node_modules/.lock-of-install"
}

# Each of these makes $made, a component or for C a core module. Where the tools cannot be had it fails and leaves in $why what is missing; where
# they are there and do not build the example, that is the end.
javascript() {
  why="it needs Node.js 18 or newer with npm"
  have npm nodejs npm || return
  why="npm could not fetch componentize-qjs"
  packages $examples/javascript || return
  quiet npm --prefix $examples/javascript run --silent build || broken
}

spidermonkey() {
  why="it needs Node.js 18 or newer with npm"
  have npm nodejs npm || return
  why="npm could not fetch componentize-js"
  packages $examples/javascript/spidermonkey || return
  quiet npm --prefix $examples/javascript/spidermonkey run --silent build || broken
}

python() {
  local own=$examples/python/.venv
  why="it needs Python 3.10 or newer with venv"
  have python3 python3 python3-venv || return
  if ! cmp -s $examples/python/requirements.txt $own/.lock-of-install; then
    step "fetching the tools of $examples/python"
    rm -rf $own
    python3 -m venv $own >/dev/null 2>&1 || { rm -rf $own; have no-such-command python3-venv || python3 -m venv $own >/dev/null 2>&1; } || return
    why="pip could not fetch componentize-py"
    quiet $own/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $examples/python/requirements.txt || return
    cp $examples/python/requirements.txt $own/.lock-of-install
  fi
  (cd $examples/python && PATH=$PWD/.venv/bin:$PATH quiet sh build.sh) || broken
}

c() {
  why="it needs clang and lld, with WebAssembly among their targets"
  have wasm-ld clang lld && have clang clang || return
  clang --print-targets | grep -q wasm32 || return
  (cd $examples/c && quiet sh build.sh) || broken
}

packer() {
  [ -z "${COMPONENTIZE:-}" ] || { echo "$COMPONENTIZE"; return; }
  local profile=${PROFILE:-release}
  cargo build --locked --quiet --profile "$profile" -p streamflow-component --bin streamflow-componentize || return
  [ "$profile" != dev ] || profile=debug
  echo "${CARGO_TARGET_DIR:-target}/$profile/streamflow-componentize"
}

[ $# -gt 0 ] || set -- javascript spidermonkey python c
mkdir -p "$dist"
for name in "$@"; do
  case $name in
    spidermonkey) from=$examples/javascript made=$from/spidermonkey/rule.wasm ;;
    javascript | python | c) from=$examples/$name made=$from/rule.wasm ;;
    *) fail "no example in '$name'; there are javascript, spidermonkey, python and c" ;;
  esac
  # Two tests may want the same one at the same time.
  exec 9>"$dist/.lock-$name"
  if command -v flock >/dev/null; then flock 9; fi
  now=$({ find wit sdk/component "$from" \( -name node_modules -o -name .venv -o -name __pycache__ -o -name '*.wasm' \) -prune -o -type f -print
    echo scripts/build-examples.sh; } | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$dist/.$name" 2>/dev/null)" = "$now" ] && [ -s "$dist/$name.wasm" ] && [ -s "$made" ]; then
    say "    up to date: $dist/$name.wasm"
    continue
  fi
  rm -f "$dist/$name.wasm"
  step "the example in $name"
  $name || { skip "$name" "$why"; continue; }
  pack=$(packer) || fail "the tool that packs components does not build"
  "$pack" "$made" "$from/plugin.toml" "$dist/.$name.new"
  mv "$dist/.$name.new" "$dist/$name.wasm"
  echo "$now" >"$dist/.$name"
  say "    $dist/$name.wasm ($(($(stat -c %s "$dist/$name.wasm") / 1024)) KiB)"
done
