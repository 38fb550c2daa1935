#!/bin/sh
# Makes rule.wasm of app.py with the componentize-py that is on the path. --stub-wasi: what is left imports no WASI, which no hub offers.
set -e
cd "$(dirname "$0")"
PYTHONDONTWRITEBYTECODE=1 componentize-py --wit-path ../../../wit --world rule-plugin componentize --stub-wasi --output rule.wasm app
