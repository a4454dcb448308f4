"""What the engine remembers: so much for each who is active, and no more in total, whatever is sent."""

import gc
import tracemalloc

import pytest
from haetae_fds import Engine, EngineSettings
from haetae_fds.flat import event_of

from tests.fds.detectors.scene import START

PEOPLE = 500
IDENTITIES = 5 * PEOPLE  # each with a user, a device, a session, an account and an address of their own
MOST_EACH = 3 * 1024


def held(engine: Engine, events: list[dict[str, object]]) -> int:
    """Bytes that are still held after these events."""
    gc.collect()
    tracemalloc.start()
    for fields in events:
        engine.observe(event_of(fields))
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def test_an_active_identity_costs_at_most_three_kilobytes() -> None:
    """They log in and look at five things."""
    events: list[dict[str, object]] = []
    for visit in range(6):
        for who in range(PEOPLE):
            call = {"api": "POST /login", "auth": "ok", "acct": f"a{who}", "cred_fp": f"c{who}"} if visit == 0 else {
                "api": "GET /things/{id}", "obj": f"o{who}-{visit}"
            }  # fmt: skip
            events.append({
                "id": f"{visit}-{who}", "ts": START + (visit * PEOPLE + who) * 600, "gw": "app", "route": "r",
                "status": 200, "ip": f"11.{who // 250}.{who % 250}.1", "net": f"11.{who // 250}.{who % 250}.0/24",
                "user": f"u{who}", "user_v": True, "dev": f"d{who}", "dev_v": True, "sess": f"s{who}", "ver": "5.0",
                "ja4": "app", "ua": "app", "hdr": "app", **call,
            })  # fmt: skip
    size = held(Engine(), events)
    assert size <= MOST_EACH * IDENTITIES


def test_callers_who_are_new_with_every_request_cannot_make_it_grow_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for limit in ("MAX_CLUSTERS", "MAX_APIS"):
        monkeypatch.setattr(f"haetae_fds.features.{limit}", 1_000)
    engine = Engine(EngineSettings(max_states=1_000))

    def strangers(start: int, count: int) -> list[dict[str, object]]:
        return [
            {
                "id": f"x{n}", "ts": START + n * 400, "gw": f"gw{n}", "route": f"r{n}", "api": f"POST /a{n}",
                "status": 401, "ip": f"{1 + n % 99}.{n // 99 % 250}.{n // 24750}.9", "net": f"net{n}", "asn": n,
                "user": f"u{n}", "dev": f"d{n}", "dev_v": True, "sess": f"s{n}", "ver": f"{n}.0", "ja4": f"j{n}",
                "ua": f"u{n}", "hdr": f"h{n}", "auth": "bad", "acct": f"a{n}", "cred_fp": f"c{n}", "pw_fp": f"p{n}",
                "obj": f"o{n}", "obj_n": n, "sig": "bad", "nonce": "replay", "path_h": f"p{n}",
            }
            for n in range(start, start + count)
        ]  # fmt: skip

    sizes = []
    for start in range(0, 6_000, 2_000):
        for fields in strangers(start, 2_000):
            engine.observe(event_of(fields))
        sizes.append(len(engine.dump()))
    assert sizes[2] < 1.1 * sizes[1]
