"""Counts, for each source, the events whose number is above a threshold, and raises an alert when there are many."""

import json
from itertools import pairwise

from wit_world.imports import log
from wit_world.imports.log import Verbosity
from wit_world.imports.types import Alert, Batch, TextColumn

# Most sources that are remembered: what `save` answers must fit into 1 MiB.
MAX_SOURCES = 2000

# The exported class is made anew for each call: what lasts is global.
config = {}
counts = {}


class Rule:
    def init(self, text: str, state: bytes | None) -> None:
        """The hub has checked the configuration against the schema of plugin.toml; the state is what `save` answered last."""
        global config, counts
        config = json.loads(text)
        counts = json.loads(state) if state else {}
        log.write(Verbosity.DEBUG, f"counting with {text}")

    def on_events(self, events: Batch) -> list[Alert]:
        """Columns, not events."""
        threshold, many = config["threshold"], config["many"]
        sources, column = texts(events.source), events.columns[0]
        here = [counts.get(source, 0) for source in sources]
        alerts = []
        for row, (number, value) in enumerate(zip(events.source.index, column.data.value)):
            if value > threshold and is_there(column.present, row):
                if not here[number]:
                    if len(counts) >= MAX_SOURCES:
                        continue
                    counts[sources[number]] = 0
                here[number] += 1
                if here[number] == many:
                    alerts.append(alert(sources[number], row))
        counts.update((source, count) for source, count in zip(sources, here) if count)
        return alerts

    def on_tick(self, now: int) -> list[Alert]:
        return []

    def save(self) -> bytes:
        return json.dumps(counts).encode()


def texts(column: TextColumn) -> list[str]:
    """The texts of a column, each once; row i has number index[i]. Their ends count bytes of UTF-8."""
    whole = column.texts.encode()
    return [whole[begin:end].decode() for begin, end in pairwise([0, *column.ends])]


def is_there(present: bytes | None, row: int) -> bool:
    return present is None or bool(present[row >> 3] >> (row & 7) & 1)


def alert(key: str, row: int) -> Alert:
    return Alert(level=None, key=key, title="many", body="", value=None, resolved=False, rows=[row], labels=[])
