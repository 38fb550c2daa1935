#!/usr/bin/env bash
# Starts a hub and an agent on this machine, for a first look and for development. Everything they keep is in ./run
# (STREAMFLOW_DIR changes that); a second start goes on with it. Ctrl-C stops both cleanly.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh
profile=${PROFILE:-release}
folder=$profile; [ "$profile" = dev ] && folder=debug
dir=${STREAMFLOW_DIR:-$PWD/run}

scripts/build.sh
bin=${CARGO_TARGET_DIR:-target}/$folder

mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd)
if [ ! -f "$dir/hub.toml" ]; then
  # 127.0.0.1:9093 is where the README's tour listens, and an Alertmanager by default.
  sed -e "s|^data_dir = .*|data_dir = \"$dir/hub\"|" -e 's|^allow = \[\]|allow = ["127.0.0.1:9093"]|' deploy/config/hub.toml >"$dir/hub.toml"
fi
if [ ! -f "$dir/agent.toml" ]; then
  # Files named one by one are listed only where they exist: the agent would warn of the others.
  logs='"/var/log/*.log", '
  for file in /var/log/syslog /var/log/messages; do
    [ ! -r $file ] || logs+="\"$file\", "
  done
  cat >"$dir/agent.toml" <<TOML
# Made by \`make run\`; every key is explained in deploy/config/agent.toml.
data_dir = "$dir/agent"

[hub]
endpoints = ["127.0.0.1:4433"]

[spool]
max_bytes = "256MiB"

[[sources]]
kind = "host"
interval = "1s"

[[sources]]
kind = "file"
paths = [$logs"$dir/log/*.log"]
format = "auto"
TOML
fi

hub_pid= agent_pid=
stop() {
  trap '' INT TERM
  say; step "stopping"
  for pid in $agent_pid $hub_pid; do
    kill -TERM "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  say "stopped; the data stays in $dir"
  exit "${1:-0}"
}
trap stop INT TERM

step "starting the hub"
ready=$(mktemp -u); mkfifo "$ready"
# A session of its own, so that Ctrl-C reaches this script alone and the order of stopping is ours.
setsid "$bin/streamflow-hub" serve --config "$dir/hub.toml" --ready-json >"$ready" 2>>"$dir/log/hub.log" &
hub_pid=$!
exec 3<"$ready"; rm -f "$ready"
http= quic= password=
while read -r line <&3; do
  case $line in
    *'"event":"admin-created"'*) password=$(sed -n 's/.*"password":"\([^"]*\)".*/\1/p' <<<"$line") ;;
    *'"event":"ready"'*)
      http=$(sed -n 's/.*"http":"\([^"]*\)".*/\1/p' <<<"$line")
      quic=$(sed -n 's/.*"quic":"\([^"]*\)".*/\1/p' <<<"$line")
      break ;;
  esac
done
if [ -z "$http" ]; then
  tail -n 20 "$dir/log/hub.log" >&2
  fail "the hub did not start; its log is $dir/log/hub.log"
fi

if [ ! -f "$dir/agent/identity.json" ]; then
  step "enrolling the agent"
  token=$("$bin/streamflow-hub" agent token --ttl 10m --config "$dir/hub.toml")
  "$bin/streamflow-agent" enroll --hub "$quic" --token "$token" --config "$dir/agent.toml"
fi
step "starting the agent"
setsid env STREAMFLOW_AGENT__HUB__ENDPOINTS="[\"$quic\"]" "$bin/streamflow-agent" run --config "$dir/agent.toml" 2>>"$dir/log/agent.log" >/dev/null &
agent_pid=$!

say
say "  ${bold}StreamFlow is running${plain}"
say "  dashboard   http://$http/"
if [ -n "$password" ]; then
  say "  sign in as  admin, password: $password   (shown only this once)"
elif [ -n "${STREAMFLOW_ADMIN_PASSWORD:-}" ]; then
  say "  sign in as  admin, with the password of STREAMFLOW_ADMIN_PASSWORD"
else
  say "  sign in as  admin, with the password that the first start showed"
  say "              (forgotten? $bin/streamflow-hub user set-password admin --config $dir/hub.toml)"
fi
say "  logs        $dir/log/hub.log, $dir/log/agent.log"
say "  Ctrl-C stops both."

# Whichever ends first ends both; its log says why.
status=0
wait -n "$hub_pid" "$agent_pid" || status=$?
for name in hub agent; do
  pid=${name}_pid
  kill -0 "${!pid}" 2>/dev/null || { say "the $name has stopped:"; tail -n 5 "$dir/log/$name.log" >&2; }
done
stop $((status == 0 ? 1 : status))
