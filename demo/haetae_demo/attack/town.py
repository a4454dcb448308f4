"""The simulated world itself: accounts, sessions and objects behind the gateway, and how a call is answered.

A `Defence` stands in front, as the gateway's policies would: it is asked before a call is answered and told of the
event afterwards. Rules kept: what is refused has no effect and reaches no service, so it carries no outcome of the
log-in service; envelope faults are found before anything else is looked at. Time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from haetae_demo.attack.calls import Answer, Call, Moment, flat_event
from haetae_demo.attack.chance import chance, digest, ulid
from haetae_demo.attack.networks import AddressPlan, Line
from haetae_demo.attack.people import Device, Person, Populace, draw_device, draw_populace
from haetae_demo.attack.services import Services, draw_services
from haetae_demo.attack.shape import Shape

PASS_MS: Final = 30 * 60_000
SESSION_MS: Final = 8 * 3_600_000
_FAULTS: Final = frozenset({"bad", "expired", "skew", "unknown_key"})


class Defence(Protocol):
    """What stands in front of the services."""

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        """What happens to the request of this unfinished event: "allow", "block", "challenge" or "throttle", and the
        policy's id.
        """
        ...

    def observe(self, event: Mapping[str, Any]) -> None:
        """Learn of a finished request."""
        ...


class Undefended:
    """No defence at all: what an attack does when nothing stands in its way."""

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        """Everything passes."""
        del event, established
        return "allow", None

    def observe(self, event: Mapping[str, Any]) -> None:
        """Nothing is learnt."""


class Town:
    """One world. People's state (sessions, known devices, passwords) lives as long as it does."""

    def __init__(self, shape: Shape) -> None:
        rng = chance("town", shape.name, shape.seed)
        self.shape = shape
        self.salt = digest("salt", shape.name, shape.seed)
        self.services: Services = draw_services(rng, wild=shape.wild_names)
        self.plan = AddressPlan(rng, ipv6=shape.ipv6)
        self.populace: Populace = draw_populace(rng, self.plan, shape, salt=self.salt)
        self.by_account: dict[str, Person] = {person.account: person for person in self.populace.people}
        self.by_id: dict[str, Person] = {person.id: person for person in self.populace.people}
        self.owners = {obj: person.id for person in self.populace.people for obj in person.objects}
        self.lowest, self.highest = min(self.owners), max(self.owners)
        self.established: set[str] = set()
        self.partner: Line = self.plan.office()
        self.monitor: Line = self.plan.internal()
        self._passes: dict[str, int] = {}
        self._rng = chance("answers", shape.name, shape.seed)
        self._number = 0

    def new_device(self, number: int, *, now_ms: int, popular: bool = True) -> Device:
        """A device fresh from the shop."""
        folk = self.populace
        software = folk.popular() if popular else self._rng.choices(folk.software, folk.weights)[0]
        return draw_device(
            self._rng, number=5_000_000 + number, software=software, now_ms=now_ms, age_s=300, salt=self.salt
        )

    def perform(self, call: Call, now_ms: int, defence: Defence) -> tuple[Answer, Moment]:
        """Make a call at `now_ms`, through the defence."""
        self._number += 1
        event = flat_event(
            call,
            event_id=ulid(now_ms, self._number, self.shape.seed),
            now_ms=now_ms,
            gateway=self.services.gateway,
            salt=self.salt,
        )
        established = self._is_established(call)
        verdict, pid = defence.judge(event, established=established)
        if verdict == "challenge" and self._passes.get(_pass_key(call), 0) > now_ms:
            verdict = "allow"
        event["pol"], event["pid"] = verdict, pid
        if verdict in ("block", "throttle", "challenge"):
            answer = self._refuse(event, verdict, now_ms)
        else:
            answer = self._serve(call, event, now_ms)
        defence.observe(event)
        return answer, Moment(event=event, truth=call.truth, established=established)

    def challenge_passed(self, call: Call, now_ms: int) -> None:
        """A person has proved themselves again: they are left alone for a while."""
        self._passes[_pass_key(call)] = now_ms + PASS_MS

    def open_session(self, person: Person, device: Device, now_ms: int) -> str:
        """Put a person's device into the state after a log-in."""
        device.session = digest(self.salt, "session", person.id, device.id, now_ms, length=20)
        device.session_until = now_ms + SESSION_MS
        return device.session

    def _is_established(self, call: Call) -> bool:
        return call.dev is not None and call.dev_v and call.sig in (None, "ok") and call.dev in self.established

    def _refuse(self, event: dict[str, Any], verdict: str, now_ms: int) -> Answer:
        event["status"] = {"block": 403, "throttle": 429, "challenge": 401}[verdict]
        event["rl"] = verdict == "throttle"
        event["lat"], event["bo"] = 0.2, 220
        return Answer(
            status=event["status"], now_ms=now_ms, refused=verdict != "challenge", challenged=verdict == "challenge"
        )

    def _serve(self, call: Call, event: dict[str, Any], now_ms: int) -> Answer:
        auth = session = None
        if call.sig in _FAULTS or call.dec == "fail" or call.nonce == "replay":
            status = 409 if call.nonce == "replay" else 400 if call.dec == "fail" else 401
            # A request whose envelope is not whole proves nothing about who sent it.
            event["user_v"] = False
        elif call.status is not None:
            status = call.status
        elif call.api is None or call.api is self.services.decoy:
            status = 404
        elif call.api is self.services.log_in:
            status, auth, session = self._log_in(call, now_ms)
        else:
            status = self._object_status(call)
        api = call.api
        event["status"], event["auth"] = status, auth
        event["lat"] = round((api.latency_ms if api else 1.0) * self._rng.uniform(0.6, 1.8), 2)
        good = api is not None and 200 <= status < 300
        event["bo"] = int(api.size * self._rng.uniform(0.7, 1.3)) if good and api else 180
        event["n_items"] = api.items if good and api else None
        if good and call.truth.attack is None and call.dev is not None and call.dev_v:
            self.established.add(call.dev)
        return Answer(status=status, now_ms=now_ms, auth=auth, session=session)

    def _log_in(self, call: Call, now_ms: int) -> tuple[int, str, str | None]:
        person = self.by_account.get(call.acct or "")
        if person is None:
            return 401, "nouser", None
        if person.secret != call.secret:
            return 401, "bad", None
        return 200, "ok", digest(self.salt, "session", call.acct, call.dev, now_ms, length=20)

    def _object_status(self, call: Call) -> int:
        api, services = call.api, self.services
        if api is None:
            return 404
        if api is services.sign_up:
            return 201
        if api is services.forgot:
            return 202 if call.acct in self.by_account else 404
        if not api.public and call.user is None and call.san is None:
            return 401
        if call.obj is None or api.public or call.san is not None:
            return 200
        owner = self.owners.get(call.obj)
        if owner is None:
            return 404
        return 200 if owner == call.user or api.leaky else 403


def _pass_key(call: Call) -> str:
    return call.sess or f"{call.line.prefix}/{call.dev}/{call.acct}"
