"""A small stage for the rules: a settled population, and events at chosen moments."""

from __future__ import annotations

from typing import Any

from haetae_fds import Decision, Engine, EngineSettings, Event
from haetae_fds.flat import event_of

START = 1_700_000_000_000
HOUR = 3_600_000


class Scene:
    """An engine that has seen an hour of plain life of forty people, each with a device, at home or in one office."""

    def __init__(
        self, settings: EngineSettings | None = None, *, people: int = 40, warm: bool = True, every_ms: int = 20
    ) -> None:
        self.engine = Engine(settings)
        self.now = START
        self.number = 0
        self.people = people
        if warm:
            for minute in range(0, 61, 3):
                for person in range(people):
                    self.now = START + minute * 60_000 + person * every_ms
                    event = self.event(**self.at_home(person), api="GET /things/{id}", obj=f"t{person}-{minute % 5}")
                    self.engine.train(event)
                    if minute in (0, 30):
                        self.engine.train(self.event(**self.at_home(person), **self.login(person, "ok", "right")))
            self.now = START + HOUR + 120_000

    def event(self, **fields: Any) -> Event:
        self.number += 1
        base = {"id": f"e{self.number}", "ts": self.now, "gw": "app", "route": "r", "status": 200, "pol": "allow"}
        return event_of({**base, **fields})

    def send(self, after_ms: int = 1000, **fields: Any) -> list[Decision]:
        self.now += after_ms
        return self.engine.observe(self.event(**fields))

    def at_home(self, person: int) -> dict[str, Any]:
        return {
            "ip": "198.51.100.7" if person < 20 else f"100.{65 + person // 250}.{person % 250}.1",
            "asn": 100 + person % 3,
            "dev": f"d{person}",
            "dev_v": True,
            "user": f"u{person}",
            "user_v": True,
            "ja4": "app",
            "ua": "app",
            "hdr": "app",
            "ver": "5.0",
            "sig": "ok",
            "sess": f"s{person}",
        }

    @staticmethod
    def login(person: int | str, outcome: str, secret: str) -> dict[str, Any]:
        account = f"a{person}"
        return {
            "api": "POST /sessions",
            "route": "login",
            "acct": account,
            "auth": outcome,
            "cred_fp": f"{account}:{secret}",
            "status": 200 if outcome == "ok" else 401,
        }

    @staticmethod
    def stranger(number: int) -> dict[str, Any]:
        return {"ip": f"203.0.{number % 200}.9", "asn": 9000 + number, "ja4": "bot", "ua": "bot", "hdr": "bot"}


def acting(decisions: list[Decision], detector: str | None = None) -> list[Decision]:
    """The decisions that refuse somebody something."""
    return [
        one
        for one in decisions
        if one.mode == "enforce" and one.action != "alert" and (detector is None or one.detector == detector)
    ]
