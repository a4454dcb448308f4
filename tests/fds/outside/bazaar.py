"""A market place nobody tuned anything to: a small world written apart from `haetae_demo.attack`.

Other names, other shapes of ids, IPv6 clients, and events that lack what a poorer gateway does not know: no network
kind, no system number, no attestation, for most callers no TLS fingerprint. Two hours of plain life to learn from,
then a scene of ten minutes in a closed loop: what is refused arrives as refused, attackers carry on regardless.
"""

from __future__ import annotations

import heapq
import itertools
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from haetae_fds import Engine, EngineSettings
from haetae_fds.evaluation import ClosedLoop
from haetae_fds.flat import event_of

START = 1_781_000_000_000
HOUR = 3_600_000
SCENE_MS = 600_000
TOKEN, SEARCH, LISTING, ORDER = "POST /oauth/token", "GET /v3/search", "GET /v3/listings/{lid}", "GET /v3/orders/{oid}"
PAYOUT, MAIL, JOIN, TRAP = "POST /v3/payouts", "PUT /v3/profile/email", "POST /v3/members", "GET /v3/internal/export"
ROUTES = {TOKEN: "idp", SEARCH: "catalog", LISTING: "catalog", ORDER: "orders", PAYOUT: "money", MAIL: "profile",
          JOIN: "members", TRAP: "trap"}  # fmt: skip
SETTINGS = EngineSettings(
    sensitive=(r"POST /v3/payouts", r"PUT /v3/profile/email"),
    signup=(r"POST /v3/members",),
    decoy_routes=("trap",),
)

Fields = dict[str, Any]
Script = Iterator[tuple[float, Fields]]


@dataclass(slots=True)
class Member:
    """One honest person."""

    user: str
    acct: str
    dev: str | None
    ip: str
    client: Fields
    orders: list[int]
    token: str
    login_ms: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of a scene. Times in seconds after the attack's first request."""

    attack: list[tuple[float, bool]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    challenged: set[str] = field(default_factory=set)
    decisions: list[Any] = field(default_factory=list)

    @property
    def first(self) -> float | None:
        """When the attack was refused something for the first time."""
        return next((at for at, through in self.attack if not through), None)

    @property
    def before(self) -> int:
        """How many requests came through before that."""
        return sum(1 for at, through in self.attack if through and (self.first is None or at < self.first))

    @property
    def residual(self) -> float:
        """The share that came through in the last third."""
        late = self.attack[-max(1, len(self.attack) // 3) :]
        return sum(through for _, through in late) / len(late)


class Bazaar:
    """The world. The same seed gives the same events."""

    def __init__(self, seed: int, *, people: int = 240) -> None:
        self.rng = rng = Random(f"bazaar {seed}")
        self.seed = seed
        self.numbers = itertools.count()
        self.apps = [self._software(rng) for _ in range(5)]
        self.members = [self._member(rng, number) for number in range(people)]
        self.office, self.carrier = "192.0.2.77", "100.127.9.30"
        for member in self.members[:30]:
            member.ip = self.office
        for member in self.members[30:100]:
            member.ip = self.carrier
        self.queue: list[tuple[int, int, str, Script]] = []

    def _software(self, rng: Random) -> Fields:
        known = rng.random() < 0.4
        return {"ua": f"UA/{rng.randrange(10**6)}", "ja4": f"q13i{rng.getrandbits(40):x}" if known else None,
                "ver": f"{rng.randrange(9)}.{rng.randrange(30)}"}  # fmt: skip

    def _member(self, rng: Random, number: int) -> Member:
        weights = (60, 20, 10, 7, 3)
        return Member(
            user=f"{rng.getrandbits(128):032x}", acct=f"sha256:{rng.getrandbits(64):x}",
            dev=f"urn:device:{rng.getrandbits(60)}" if rng.random() < 0.75 else None, ip=self.address(rng),
            client=rng.choices(self.apps, weights)[0],
            orders=[number * 37 + rng.randrange(5) * 3 for _ in range(4)], token=f"tok-{rng.getrandbits(60):x}",
        )  # fmt: skip

    @staticmethod
    def address(rng: Random) -> str:
        """Some home, somewhere: three in four with IPv6."""
        if rng.random() < 0.75:
            site = f"2001:{rng.randrange(1, 65000):x}:{rng.randrange(65000):x}"
            return f"{site}:{rng.randrange(256):x}::{rng.randrange(9)}"
        return f"{rng.randrange(60, 90)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"

    def call(self, api: str | None, **fields: Any) -> Fields:
        """One request's fields."""
        route = None if api is None else ROUTES[api]
        return {"gw": "eu-1", "api": api, "route": route, "status": 404 if api is None else 200, **fields}

    def by(self, member: Member, api: str, **fields: Any) -> Fields:
        """A request of a member who is signed in."""
        who = {"user": member.user, "user_v": True, "sess": member.token, "ip": member.ip, **member.client}
        if member.dev is not None:
            who |= {"dev": member.dev, "dev_v": True, "sig": "ok"}
        return self.call(api, **{**who, **fields})

    def sign_in(self, acct: str, secret: str, outcome: str, **fields: Any) -> Fields:
        """An attempt to sign in: failures answer 200, as some services do."""
        return self.call(TOKEN, acct=acct, auth=outcome, cred_fp=f"{acct}/{secret}", pw_fp=f"pw/{secret}", **fields)

    def returns(self, member: Member, slips: int = 0, **fields: Any) -> Script:
        """A member signs in, after a few slips of the finger."""
        who = {"ip": member.ip, **member.client, "dev": member.dev, "dev_v": member.dev is not None, **fields}
        for slip in range(slips):
            yield self.rng.uniform(3, 9), self.sign_in(member.acct, f"{member.acct}~{slip}", "bad", **who)
        yield self.rng.uniform(3, 9), self.sign_in(member.acct, "right", "ok", user=member.user, **who)

    def life(self, member: Member, rng: Random, until_s: float) -> Script:
        """Plain life: visits with pauses between them."""
        spent = 0.0
        while spent < until_s:
            pause = rng.expovariate(1 / 240)
            spent += pause
            yield pause, self.by(member, SEARCH, n_items=20)
            if rng.random() < 0.2:
                yield from self.returns(member, slips=int(rng.random() < 0.15))
            for _ in range(rng.randrange(1, 6)):
                gap = rng.expovariate(1 / 7)
                spent += gap
                if rng.random() < 0.6:
                    yield gap, self.by(member, LISTING, obj=f"l{int(rng.paretovariate(0.9)) % 3000}", n_items=1)
                elif rng.random() < 0.93:
                    order = rng.choice(member.orders)
                    yield gap, self.by(member, ORDER, obj=f"o{order}", obj_n=order)
                else:
                    yield gap, self.by(member, rng.choice((PAYOUT, MAIL)))

    def visitors(self, rng: Random, until_s: float) -> Script:
        """People without an account look at the popular listings, each from home."""
        spent = 0.0
        while spent < until_s:
            pause = rng.expovariate(1 / 6)
            spent += pause
            where, what = self.address(rng), rng.choice(self.apps)
            for _ in range(rng.randrange(1, 5)):
                fields = {"obj": f"l{int(rng.paretovariate(0.9)) % 3000}", "n_items": 1}
                yield pause / 3, self.call(LISTING, ip=where, **what, **fields)

    def at(self, after_s: float, script: Script, *, who: str = "") -> None:
        """Add a script to the scene; `who` is "" for the attack, else the honest person."""
        heapq.heappush(self.queue, (START + 2 * HOUR + int(after_s * 1000), next(self.numbers), who, script))

    def _run(self, until_ms: int) -> Iterator[tuple[int, str, Fields]]:
        queue = self.queue
        waiting: dict[int, Fields] = {}
        while queue:
            now, number, who, script = heapq.heappop(queue)
            if now > until_ms:
                heapq.heappush(queue, (now, number, who, script))
                return
            fields = waiting.pop(number, None)
            if fields is not None:
                yield now, who, fields
            step = next(script, None)
            if step is not None:
                turn = next(self.numbers)
                waiting[turn] = step[1]
                heapq.heappush(queue, (now + max(1, int(step[0] * 1000)), turn, who, script))

    def plain(self, seconds: float, *, offset_s: float) -> None:
        """Let everybody live."""
        for number, member in enumerate(self.members):
            rng = Random(f"{self.seed} {number} {offset_s}")
            self.at(offset_s + rng.uniform(0, 60), self.life(member, rng, seconds), who=member.user)
        self.at(offset_s, self.visitors(Random(f"{self.seed} v {offset_s}"), seconds), who="visitors")

    def warm(self) -> bytes:
        """Two hours nobody decides in; the engine as it is then."""
        engine = Engine(SETTINGS)
        self.plain(7200, offset_s=-7200)
        for now, _, fields in self._run(START + 2 * HOUR):
            engine.train(event_of({"id": f"w{next(self.numbers)}", "ts": now, "pol": "allow", **fields}))
        self.queue.clear()
        return pickle.dumps(engine.dump())

    def record(self, *, warm: bool = False) -> list[Fields]:
        """Events as a recording has them: two plain hours, or the scene with plain life beside it, undefended."""
        self.plain(7200 if warm else SCENE_MS / 1000, offset_s=-7200 if warm else 0)
        until = START + 2 * HOUR + (0 if warm else SCENE_MS)
        name = "w" if warm else "s"
        events = [
            {"id": f"{name}{next(self.numbers)}", "ts": now, "pol": "allow", **fields, "who": who}
            for now, who, fields in self._run(until)
        ]
        self.queue.clear()
        return events

    def play(self, warm: bytes | None) -> Outcome:
        """Play what was added beside plain life, closed loop."""
        engine = Engine(SETTINGS)
        if warm is not None:
            engine.load(pickle.loads(warm))  # noqa: S301 - made by `warm`
        loop = ClosedLoop(lambda event: [one.to_dict() for one in engine.observe(event_of(dict(event)))])
        known = {member.dev for member in self.members if member.dev is not None}
        self.plain(SCENE_MS / 1000, offset_s=0)
        out, began = Outcome(), None
        for now, who, fields in self._run(START + 2 * HOUR + SCENE_MS):
            event = {"id": f"s{next(self.numbers)}", "ts": now, **fields}
            established = bool(fields.get("dev_v")) and fields.get("dev") in known and not fields.get("nonce")
            verdict, pid = loop.judge(event, established=established)
            through = verdict == "allow"
            event |= {"pol": verdict, "pid": pid}
            if not through:
                event |= {"status": {"block": 403, "challenge": 401, "throttle": 429}[verdict], "auth": None,
                          "sig": None, "dec": None, "nonce": None, "rl": verdict == "throttle"}  # fmt: skip
            if who:
                if not through:
                    (out.challenged if verdict == "challenge" else out.refused).add(who)
            else:
                began = now if began is None else began
                out.attack.append(((now - began) / 1000, through))
            loop.observe(event)
        out.decisions = list(loop.decisions)
        return out


Scene = Callable[[Bazaar], None]
