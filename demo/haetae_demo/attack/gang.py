"""What all attackers of the simulated world share: addresses, tools, and how they react to being stopped.

A gang notices refusals and adapts as its nerve has it: some carry on, some change address, some slow down, some give
up. Rules kept: an attacker sees only answers, never the defence; what it does is drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from haetae_demo.attack.calls import Answer, Call, Pause, Script, Truth
from haetae_demo.attack.chance import chance, digest
from haetae_demo.attack.networks import Line
from haetae_demo.attack.people import Device, Person, Software, draw_device, draw_tool
from haetae_demo.attack.services import Api
from haetae_demo.attack.town import Town

NERVES: Final = ("stubborn", "rotate", "slow", "quit")
_ROTATE_AFTER: Final = 3
_QUIT_AFTER: Final = 40
_SLOWEST: Final = 8.0

Acting = Generator[Call | Pause, Answer, Answer]


class Gang:
    """One campaign. `lines` are the addresses in use, `spare` those to change to; `pooled` gangs take any line for
    each request.
    """

    def __init__(self, town: Town, kind: str, *, nerve: str | None = None) -> None:
        shape = town.shape
        self.town, self.kind = town, kind
        self.rng = chance("gang", shape.name, shape.seed, kind)
        self.campaign = f"{kind}-{shape.seed}"
        self.nerve = nerve or self.rng.choice(NERVES)
        self.tool: Software = draw_tool(self.rng, town.salt)
        self.start_ms = shape.case_ms + shape.attack_after_s * 1000
        self.scripts: list[tuple[int, Script]] = []
        self.lines: list[Line] = []
        self.spare: list[Line] = []
        self.over = False
        self._slow = 1.0
        self._refused: dict[str, int] = {}
        self._streak = 0
        self._turn = 0
        self._devices = 0

    def at(self, after_s: float, script: Script) -> None:
        """Add a script that starts `after_s` after the attack begins."""
        self.scripts.append((self.start_ms + int(after_s * 1000), script))

    def line(self) -> Line:
        """The next address in use, round robin."""
        self._turn += 1
        return self.lines[self._turn % len(self.lines)]

    def wait(self, seconds: float) -> Pause:
        """A pause, shorter for vigorous gangs, longer for intimidated ones, never quite regular."""
        return Pause(seconds * self._slow / self.town.shape.vigour * self.rng.uniform(0.7, 1.3))

    def truth(self, *, harm: bool = False, victim: Person | None = None) -> Truth:
        """What is true about a request of this gang."""
        return Truth(kind=self.kind, attack=self.campaign, victim=victim.id if victim else None, harm=harm)

    def device(self, *, software: Software | None = None, age_s: int = 90) -> Device:
        """A device of the gang's own, enrolled like anybody's: the gateway can verify it."""
        self._devices += 1
        number = 7_000_000 + self._devices
        made = draw_device(
            self.rng,
            number=number,
            software=software or self.tool,
            now_ms=self.start_ms,
            age_s=age_s,
            salt=f"{self.town.salt}{self.kind}",
        )
        made.signed = True
        made.attest = "ok" if software is not None and software.app else None
        return made

    def member(self, number: int) -> tuple[str, str]:
        """User id and session of an account the gang owns."""
        user = f"u-{digest(self.town.salt, self.kind, 'member', number, length=10)}"
        return user, digest(self.town.salt, self.kind, "session", number, length=20)

    def call(
        self, api: Api | None, line: Line, *, harm: bool = False, victim: Person | None = None, **more: Any
    ) -> Call:
        """A request with the gang's own tool unless told otherwise."""
        software = more.pop("software", self.tool)
        return Call(api=api, line=line, software=software, truth=self.truth(harm=harm, victim=victim), **more)

    def act(self, call: Call) -> Acting:
        """Make a request and react to the answer."""
        answer = yield call
        if answer.normal:
            self._streak = 0
            self._refused.pop(call.line.prefix, None)
        else:
            self._react(call.line)
        return answer

    def strangers(self, count: int, *, app: bool = False, work: bool = False) -> list[Person]:
        """Some honest people, as victims."""
        people = [
            person
            for person in self.town.populace.people
            if (person.devices[0].software.app or not app) and (person.work is not None or not work)
        ]
        return self.rng.sample(people, min(count, len(people)))

    def leak(self, count: int, *, valid: float = 0.015, unknown: float = 0.5) -> list[tuple[str, str, Person | None]]:
        """A list of leaked pairs: few still valid, many of accounts that do not exist here."""
        people: Sequence[Person] = self.town.populace.people
        pairs: list[tuple[str, str, Person | None]] = []
        for number in range(count):
            draw = self.rng.random()
            if draw < unknown:
                pairs.append((digest(self.town.salt, self.kind, "nobody", number), f"pw-{number}", None))
                continue
            person = self.rng.choice(people)
            secret = person.secret if draw > 1 - valid else f"leaked-{number}"
            pairs.append((person.account, secret, person))
        return pairs

    def _react(self, line: Line) -> None:
        self._streak += 1
        count = self._refused[line.prefix] = self._refused.get(line.prefix, 0) + 1
        if self.nerve == "rotate" and count >= _ROTATE_AFTER and line in self.lines:
            if self.spare:
                self.lines[self.lines.index(line)] = self.spare.pop()
            elif len(self.lines) > 1:
                self.lines.remove(line)
        elif self.nerve == "slow":
            self._slow = min(_SLOWEST, self._slow * 1.25)
        elif self.nerve == "quit" and self._streak >= _QUIT_AFTER:
            self.over = True
