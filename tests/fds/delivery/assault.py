"""One assault on many things at once, as a gateway reports it, for workers with the real engine.

Two tools that stuff credentials from an address each, a user who looks through objects from many networks, and one who
does so at home, among people who go about their business.
"""

from typing import Any
from zlib import crc32

from haetae_fds.event import Event
from haetae_fds.words import AuthOutcome

STEP_MS = 20


def assault(start_ms: int, *, rounds: int = 120) -> list[Event]:
    """The events in order, `STEP_MS` apart."""
    found: list[Event] = []

    def add(ip: str, **values: Any) -> None:
        number = len(found)
        net = f"{ip.rpartition('.')[0]}.0/24"
        base: dict[str, Any] = {"id": f"A{number:08}", "ts": start_ms + number * STEP_MS, "gw": "app", "hdr": "h"}
        found.append(Event(**(base | {"ip": ip, "net": net, "status": 200, "route": "r", "ua": "app"} | values)))

    for number in range(rounds):
        who = number % 30
        add(
            f"11.0.{who}.1",
            api="GET /api/v1/me",
            dev=f"d{who}",
            dev_v=True,
            user=f"u{who}",
            user_v=True,
            sess=f"s{who}",
        )
        for tool in (1, 2):
            if number % 4 == 0:
                add(
                    f"12.0.{tool}.7", api="POST /api/v1/login", status=401, route="log-in", ua=f"tool{tool}",
                    auth=AuthOutcome.BAD, acct=f"a{tool}-{number}", cred_fp=f"c{tool}-{number}",
                )  # fmt: skip
        add(
            f"13.0.{number % 40}.9", api="GET /api/v1/accounts/{}", obj=f"o{number}", obj_n=number, status=404,
            user="thief", user_v=True, sess="thief", dev="thief", dev_v=True,
        )  # fmt: skip
        add(
            "14.0.0.9", api="GET /api/v1/cards/{}", obj=f"k{number}", obj_n=number, status=404, user="miner",
            user_v=True, sess="miner", dev="miner", dev_v=True,
        )  # fmt: skip
    return found


def shard_of(event: Event, shards: int) -> int:
    """As the gateways do: docs/events.md."""
    return crc32((event.net or "").encode()) % shards if shards > 1 else 0
