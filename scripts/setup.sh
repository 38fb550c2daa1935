#!/usr/bin/env bash
# Makes sure that what a build needs is here: setup.sh [build] [test].
# As root on Debian or Ubuntu missing packages are installed; elsewhere they are named with the command that installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

for purpose in "$@"; do
  case $purpose in
    build)
      need cc gcc; need make make; need curl curl; need git git
      # The page is built with Node; without it the hub still builds and its page says so.
      if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then need node nodejs; need npm npm; fi ;;
    test)
      [ -x /usr/bin/chromium ] || command -v chromium >/dev/null || missing+=(chromium)
      need node nodejs; need npm npm; need python3 python3
      # Answers the same PromQL over the same samples (promtool), and sends alerts as to an Alertmanager.
      { command -v prometheus && command -v promtool; } >/dev/null || missing+=(prometheus)
      need amtool prometheus-alertmanager
      # Reads what an Alertmanager sends.
      need alertmanager-irc-relay alertmanager-irc-relay
      # A real mail server for the e-mail channel; the package belongs to the system's own interpreter.
      for python in /usr/bin/python3 python3; do "$python" -c 'import aiosmtpd' 2>/dev/null && break; done || missing+=(python3-aiosmtpd)
      # What the examples of plugins in other languages are built with.
      need clang clang; need wasm-ld lld; python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
      # Sets the clock of one program.
      [ -e /usr/lib/x86_64-linux-gnu/faketime ] || [ "$(uname -m)" != x86_64 ] || missing+=(libfaketime) ;;
    *) fail "setup.sh: unknown purpose '$purpose'" ;;
  esac
done

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    quiet apt-get -q update
    # What tests start themselves must not run as a service of the machine.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
      trap 'rm -f $policy' EXIT
    fi
    quiet apt-get -q install -y --no-install-recommends "${missing[@]}"
  else
    say "missing on this machine: ${missing[*]}"
    say "on Debian or Ubuntu:  sudo apt-get install ${missing[*]}"
    for package in "${missing[@]}"; do
      case $package in gcc | curl | git | make) exit 1 ;; esac
    done
  fi
fi

if ! command -v cargo >/dev/null; then
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer with rustup, then run this again"
fi
