#!/usr/bin/env python3
"""The same windows over the same file by StreamFlow's engine and by its peers: bytewax (a streaming engine, event time, one worker) and DuckDB (a batch engine
over columns, one thread and all). Every result of every engine is compared before anything is printed.

    tests/bench/window_peers.py PATH/TO/window_peer [--quick]

The peers come from PyPI, into a virtual environment below `target`. Prints rows of the table of docs/benchmarks.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = ["bytewax==0.21.1", "duckdb==2.0.1"]
ROOT = Path(__file__).resolve().parents[2]
MINUTE = 60_000


def in_environment():
    """Starts over with the peers' own interpreter, which is made when it is not there."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench-peers"
    python = folder / "bin" / "python"
    if Path(sys.prefix).resolve() == folder.resolve():
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS], check=True)
    os.execv(python, [str(python), *sys.argv])


def file_of(count, program, folder):
    """A file of so many events, and what the engine makes of it: the best of three times, and the results."""
    events, results = Path(folder) / f"events-{count}.jsonl", Path(folder) / "results.csv"
    subprocess.run([program, "make", str(count), events], check=True)
    times = []
    for _ in range(3):
        told = subprocess.run([program, "run", events, results], check=True, capture_output=True, text=True)
        times.append(json.loads(told.stdout))
    found = {}
    for line in results.read_text().splitlines():
        rule, end, key, value = line.split(",")
        found[rule, int(end), key] = float(value)
    took = min(times, key=lambda took: took["parse_s"] + took["windows_s"])
    if took["events"] != count or not found:
        sys.exit("the engine has read another file")
    return events, (took, found)


def by_duckdb(events, threads):
    import duckdb

    database = duckdb.connect()
    if threads is not None:
        database.execute(f"SET threads = {threads}")
    began = time.monotonic()
    database.execute(
        """CREATE TABLE event AS SELECT user_id, source, "timestamp" AS ms_at, data.ms AS ms
           FROM read_ndjson(?, columns = {user_id: 'VARCHAR', source: 'VARCHAR', "timestamp": 'BIGINT', data: 'STRUCT(ms BIGINT)'})""",
        [str(events)],
    )
    loaded = time.monotonic() - began
    began = time.monotonic()
    rows = database.execute(
        f"""SELECT 'count', (ms_at - ms_at % {MINUTE} + {MINUTE}), user_id, count(*)::DOUBLE FROM event GROUP BY ALL
            UNION ALL SELECT 'sum', (ms_at - ms_at % {MINUTE} + {MINUTE}), user_id, sum(ms)::DOUBLE FROM event GROUP BY ALL
            UNION ALL SELECT 'sliding', pane + (n + 1) * {MINUTE}, source, sum(c)::DOUBLE FROM
              (SELECT ms_at - ms_at % {MINUTE} AS pane, source, count(*) AS c FROM event GROUP BY ALL), range(5) AS w(n) GROUP BY ALL"""
    ).fetchall()
    return loaded, time.monotonic() - began, {(rule, end, key): value for rule, end, key, value in rows}


def by_bytewax(events):
    from datetime import datetime, timedelta, timezone

    import bytewax.operators as op
    import bytewax.operators.windowing as win
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    minute = timedelta(minutes=1)

    def key_of(name):
        def read(line):
            event = json.loads(line)
            return event[name], (epoch + timedelta(milliseconds=event["timestamp"]), event["data"]["ms"])

        return read

    def add(total, value):
        total[0] += 1
        total[1] += value[1]
        return total

    def merge(one, other):
        return [one[0] + other[0], one[1] + other[1]]

    def windows(name, key, windower):
        stream = op.map(f"{name}-key", lines, key_of(key))
        # Its clock goes on while no event comes; events of a file would be late without some patience.
        clock = win.EventClock(ts_getter=lambda value: value[0], wait_for_system_duration=minute)
        folded = win.fold_window(name, stream, clock, windower, lambda: [0, 0], add, merge)
        out = []
        op.output(f"{name}-out", folded.down, TestingSink(out))
        return out

    began = time.monotonic()
    flow = Dataflow("windows")
    with open(events) as file:
        lines = op.input("lines", flow, TestingSource(file, batch_size=20_000))
        tumbling = windows("tumbling", "user_id", win.TumblingWindower(length=minute, align_to=epoch))
        sliding = windows("sliding", "source", win.SlidingWindower(length=5 * minute, offset=minute, align_to=epoch))
        run_main(flow)
    took = time.monotonic() - began
    found = {}
    for key, (number, (count, total)) in tumbling:
        end = (number + 1) * MINUTE
        found["count", end, key], found["sum", end, key] = float(count), float(total)
    for key, (number, (count, _)) in sliding:
        found["sliding", number * MINUTE + 5 * MINUTE, key] = float(count)
    return took, found


def compare(peer, mine, theirs):
    if mine == theirs:
        return
    differing = [item for item in mine.keys() | theirs.keys() if mine.get(item) != theirs.get(item)]
    item = min(differing)
    sys.exit(f"{peer} differs in {len(differing)} of {len(mine)} results, first {item}: {theirs.get(item)} instead of {mine.get(item)}")


def rate(count, seconds):
    millions = count / seconds / 1e6
    return f"{millions:.2f} M" if millions >= 1 else f"{millions * 1000:.0f} k"


def row(what, seconds, peer, theirs, count, target):
    print(f"| {what} | {rate(count, seconds)} | {peer} {rate(count, theirs)} | {theirs / seconds:.2f} | {target} |", flush=True)


def main():
    in_environment()
    import importlib.metadata as metadata

    program, quick = sys.argv[1], "--quick" in sys.argv
    # bytewax takes a quarter of a minute for what the others do at once.
    few, many = (20_000, 100_000) if quick else (60_000, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        small, mine = file_of(few, program, folder)
        streamed, found = by_bytewax(small)
        compare("bytewax", mine[1], found)
        beside_bytewax = mine[0]
        events, mine = file_of(many, program, folder)
        took = mine[0]
        duck = {}
        for threads in (1, None):
            loaded, grouped, found = by_duckdb(events, threads)
            compare("DuckDB", mine[1], found)
            duck[threads] = (loaded, grouped)
    total = took["parse_s"] + took["windows_s"]
    versions = {name: metadata.version(name) for name in ("bytewax", "duckdb")}
    shape = "count and sum by 10,000 keys each minute, count by 50 over five minutes"
    total_few = beside_bytewax["parse_s"] + beside_bytewax["windows_s"]
    what = f"windows from {few:,} JSON lines ({shape}), events/s of one core"
    row(what, total_few, f"bytewax {versions['bytewax']}, one worker", streamed, few, "≥ 1 ×")
    loaded, grouped = duck[1]
    row(f"the same from {many:,} lines", total, f"DuckDB {versions['duckdb']} as a batch, one thread", loaded + grouped, many, "≥ 1 ×")
    row("the same from columns in memory, decoding included", took["windows_s"], "DuckDB from its table, one thread", grouped, many, "≥ 0.5 ×")
    loaded, grouped = duck[None]
    row("the same from JSON lines, StreamFlow still on one core", total, f"DuckDB on {os.cpu_count()} threads", loaded + grouped, many, "–")


if __name__ == "__main__":
    main()
