"""Replay recorded events through an engine, line by line, in the events' own time.

Rules kept: a line that is no event is refused with a counted reason and the replay goes on. Not here: files, pipes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from haetae_fds.decision import Decision
from haetae_fds.engine import Engine
from haetae_fds.event import EventInvalid
from haetae_fds.flat import read_flat


class Replay:
    """One engine and the lines given to it. `refused` counts lines that were no events, by the field at fault."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.refused: Counter[str] = Counter()

    def line(self, text: bytes) -> list[Decision]:
        """Return the decisions one line causes; none for a line that is no event."""
        try:
            event = read_flat(text)
        except EventInvalid as error:
            self.refused[error.field] += 1
            return []
        return self.engine.observe(event)

    def train(self, text: bytes) -> None:
        """Let the engine learn from one line of harmless traffic."""
        try:
            event = read_flat(text)
        except EventInvalid as error:
            self.refused[error.field] += 1
            return
        self.engine.train(event)

    def lines(self, texts: Iterable[bytes]) -> Iterator[Decision]:
        """Return the decisions of many lines."""
        for text in texts:
            if text.strip():
                yield from self.line(text)

    def summary(self) -> dict[str, object]:
        """Return what became of all lines, and which detectors know too little yet to call anything normal."""
        warming = {name: round(share, 2) for name, share in self.engine.warm().items() if share < 1}
        return {"events": dict(self.engine.counted), "refused": dict(sorted(self.refused.items())), "warm": warming}


def explain(log: Iterable[Decision], pid: str) -> list[str]:
    """Return the history of one policy as sentences with numbers, oldest first; empty when the log has none of it."""
    told = []
    for one in log:
        if one.pid == pid:
            told.append(f"{one.ts}: {one.op.value} {one.action.value} until {one.exp} by {one.detector}: {one.why}")
            told.extend(f"  {n.name}: {n.value:g}, limit {n.limit:g}" for n in one.numbers)
    return told
