#!/bin/sh
# Makes the core module rule.wasm with clang and lld; `plugin pack` makes the component. There is no libc: libc/ has what the bindings use of one.
set -e
cd "$(dirname "$0")"
exec ${CC:-clang} --target=wasm32 -std=c11 -O2 -Wall -Wextra -mbulk-memory -ffreestanding -nostdlib -Ilibc -Ibindings \
  -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=65536 -Wl,--strip-debug \
  -o rule.wasm rule.c libc/memory.c bindings/rule_plugin.c bindings/rule_plugin_component_type.o
