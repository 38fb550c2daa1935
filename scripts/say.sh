# Sourced by the other scripts: how they talk to people.
if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold= dim= plain=; fi
say() { printf '%s\n' "$*"; }
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command, showing its output only when it fails, and a sign of life every ten seconds.
quiet() {
  local log status=0 started=$SECONDS pid
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ $((SECONDS - started)) -ge 10 ]; then
      printf '%s    … %s (%ss)%s\n' "$dim" "$1" "$SECONDS" "$plain"
      started=$SECONDS
    fi
    read -rt 0.2 <> <(:) || :
  done
  wait "$pid" || status=$?
  [ $status = 0 ] || cat "$log" >&2
  rm -f "$log"
  return $status
}
