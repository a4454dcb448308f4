"""What honest people do on an ordinary day: log in (with slips of the finger), look around, read what is theirs, pay.

Everything they do carries `Truth` without a campaign. Does not decide who acts when (`day`) nor what goes wrong for
many at once (`trouble`).
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random

from haetae_demo.attack.calls import Answer, Call, Pause, Script, Truth
from haetae_demo.attack.networks import Line
from haetae_demo.attack.people import Device, Person
from haetae_demo.attack.services import Api
from haetae_demo.attack.town import Town


def request(person: Person, device: Device, line: Line, api: Api, *, kind: str, obj: int | None = None) -> Call:
    """One request of a logged-in person."""
    return Call(
        api=api,
        line=line,
        software=device.software,
        truth=Truth(kind=kind, user=person.id),
        user=person.id,
        user_v=True,
        sess=device.session,
        obj=obj,
    ).from_device(device)


def log_in_call(town: Town, person: Person, device: Device, line: Line, secret: str, *, kind: str) -> Call:
    """One attempt to log in."""
    return Call(
        api=town.services.log_in,
        line=line,
        software=device.software,
        truth=Truth(kind=kind, user=person.id, fresh=device.id not in person.known),
        acct=person.account,
        secret=secret,
    ).from_device(device)


def log_in(
    town: Town, person: Person, device: Device, line: Line, rng: Random, *, kind: str, slips: int | None = None
) -> Generator[Call | Pause, Answer, bool]:
    """Log in; returns whether it worked. `slips` wrong passwords come first (default: by how careless they are)."""
    wrong = slips if slips is not None else _slips(rng, person.careless)
    for attempt in range(wrong + 1):
        secret = person.secret if attempt == wrong else f"slip-{person.id}-{rng.randrange(6)}"
        answer = yield log_in_call(town, person, device, line, secret, kind=kind)
        if answer.auth == "ok":
            town.open_session(person, device, answer.now_ms)
            person.known.add(device.id)
            return True
        if not answer.normal and rng.random() < 0.7:
            return False
        yield Pause(rng.uniform(3, 15))
    return False


def visit(
    town: Town,
    person: Person,
    device: Device,
    line: Line,
    rng: Random,
    *,
    start_ms: int,
    kind: str = "plain",
    slips: int | None = None,
) -> Script:
    """Come, do a few things, go."""
    if device.session is None or device.session_until < start_ms or rng.random() < 0.2:
        entered = yield from log_in(town, person, device, line, rng, kind=kind, slips=slips)
        if not entered:
            return
    yield from look_around(town, person, device, line, rng, kind=kind, steps=2 + min(25, int(rng.expovariate(0.14))))


def look_around(
    town: Town, person: Person, device: Device, line: Line, rng: Random, *, kind: str, steps: int, gap_s: float = 4.0
) -> Script:
    """Some requests, as a person makes them; gives up after being refused three times."""
    services = town.services
    refusals = 0
    for _ in range(steps):
        draw = rng.random()
        api, obj = services.feed, None
        if draw < 0.25:
            api = services.listing
        elif draw < 0.5:
            api, obj = services.item, min(int(rng.paretovariate(0.7)), 4_000)
        elif draw < 0.75:
            api, obj = services.record, rng.choice(person.objects)
        elif draw < 0.9:
            api, obj = services.statement, rng.choice(person.objects)
        elif draw < 0.95:
            api = services.transfer
        elif draw < 0.955:
            api = services.enrol
        call = request(person, device, line, api, kind=kind, obj=obj)
        _mishap(call, rng)
        answer = yield call
        refusals += not answer.normal
        if refusals >= 3:
            return
        yield Pause(min(60.0, rng.expovariate(1 / gap_s)) + 0.05)


def _mishap(call: Call, rng: Random) -> None:
    """The small faults of every day: dead links, clocks that are off, an answer that got lost."""
    draw = rng.random()
    if draw < 0.004:
        call.api, call.obj, call.path, call.dec = None, None, f"/old/{rng.randrange(30)}", None
    elif draw < 0.006 and call.sig is not None:
        call.sig = rng.choice(("expired", "skew", "bad"))
    elif draw < 0.010 and call.nonce is not None:
        call.nonce = "retry"
    elif draw < 0.013:
        call.status = rng.choice((500, 502, 503, 504))


def _slips(rng: Random, careless: float) -> int:
    slips = 0
    while slips < 4 and rng.random() < careless + 0.02:
        slips += 1
    return slips
