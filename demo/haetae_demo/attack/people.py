"""Who lives in the simulated world: people with accounts, devices and networks, and the software they all use.

A person is a habit, not a rate: some have two devices, some share a home, most telephones are behind a carrier's few
addresses. Does not act (`habits`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from haetae_demo.attack.chance import digest
from haetae_demo.attack.networks import AddressPlan, Line
from haetae_demo.attack.shape import Shape

_COMMON_PASSWORDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A build of a client, as its handshake and headers give it away. `app` signs and seals; `ver` is its version."""

    ja4: str
    ua: str
    hdr: str
    ver: str | None
    app: bool


@dataclass(slots=True, kw_only=True)
class Device:
    """A telephone or a browser. `signed`: requests carry a device identity that the gateway can verify."""

    id: str
    number: int
    software: Software
    signed: bool
    made_ms: int
    attest: str | None
    session: str | None = None
    session_until: int = 0


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody with an account. `known` are the devices that the services know as theirs."""

    id: str
    account: str
    secret: str
    home: Line
    work: Line | None
    mobile: Line
    devices: list[Device]
    objects: list[int]
    busy: float
    careless: float
    old_secret: str | None = None
    known: set[str] = field(default_factory=set)

    def place(self, rng: Random, *, hour: int) -> Line:
        """Where they are likely to be at that hour of the day (UTC, as the world has one time zone)."""
        at_work = 8 <= hour < 18
        draw = rng.random()
        if self.work is not None and at_work:
            return self.work if draw < 0.7 else self.mobile
        return self.home if draw < 0.65 else self.mobile


@dataclass(slots=True, kw_only=True)
class Populace:
    """Everybody, and what they have in common."""

    people: list[Person]
    software: list[Software]
    weights: list[float]
    offices: list[Line]
    carriers: list[Line]
    salt: str

    def popular(self) -> Software:
        """The most used app build: what an attacker would imitate."""
        return self.software[0]

    def at(self, office: Line) -> list[Person]:
        """Who works there."""
        return [person for person in self.people if person.work is office]


def draw_software(rng: Random, salt: str) -> tuple[list[Software], list[float]]:
    """A few app builds that most people use, browsers, and a tail of rare ones, with their shares."""
    major = rng.randrange(2, 9)
    builds: list[Software] = []
    for number in range(14):
        app = number < 6
        version = f"{major}.{9 - number // 2}.{rng.randrange(4)}" if app else None
        builds.append(
            Software(
                ja4="t13d" + digest(salt, "ja4", number % 2 if app else number, length=12),
                ua=digest(salt, "ua", number, length=12),
                hdr=digest(salt, "hdr", number % 2 if app else number // 2, length=12),
                ver=version,
                app=app,
            )
        )
    return builds, [0.26, 0.22, 0.1, 0.07, 0.03, 0.02, 0.1, 0.08, 0.05, 0.03, 0.02, 0.01, 0.006, 0.004]


def draw_tool(rng: Random, salt: str) -> Software:
    """The fingerprint of a program that nobody but its author runs."""
    tag = rng.randrange(1 << 40)
    return Software(
        ja4="t12d" + digest(salt, "tool", tag, length=12),
        ua=digest(salt, "tool-ua", tag, length=12),
        hdr=digest(salt, "tool-hdr", tag, length=12),
        ver=None,
        app=False,
    )


def draw_device(rng: Random, *, number: int, software: Software, now_ms: int, age_s: int, salt: str) -> Device:
    """A device of that software; apps and most browsers can prove which device they are."""
    return Device(
        id="dev_" + digest(salt, "device", number, length=20),
        number=number,
        software=software,
        signed=software.app or rng.random() < 0.8,
        made_ms=now_ms - age_s * 1000,
        attest="ok" if software.app else None,
    )


def draw_password(rng: Random) -> str:
    """Some passwords are everybody's, most are one's own."""
    if rng.random() < 0.05:
        return f"common-{rng.randrange(_COMMON_PASSWORDS)}"
    return f"own-{rng.randrange(1 << 48)}"


def draw_populace(rng: Random, plan: AddressPlan, shape: Shape, *, salt: str) -> Populace:
    """Everybody who lives in a world of this shape."""
    software, weights = draw_software(rng, salt)
    offices = [plan.office() for _ in range(max(2, shape.people // 150))]
    carriers = plan.carriers(max(2, shape.people // 250))
    people: list[Person] = []
    home = plan.home()
    object_id = rng.randrange(10_000, 900_000)
    for number in range(shape.people):
        if rng.random() > 0.3:
            home = plan.home()  # else one lives with the person before
        devices = [
            draw_device(
                rng,
                number=number * 4 + which,
                software=rng.choices(software, weights)[0],
                now_ms=shape.start_ms,
                age_s=rng.randrange(86_400, 400 * 86_400),
                salt=salt,
            )
            for which in range(1 if rng.random() < 0.65 else 2)
        ]
        objects = []
        for _ in range(1 + min(9, int(rng.expovariate(0.6)))):
            object_id += rng.choice((1, 1, 2, 3, 7, 30))
            objects.append(object_id)
        people.append(
            Person(
                id=f"u-{digest(salt, 'user', number, length=10)}",
                account=digest(salt, "account", number),
                secret=draw_password(rng),
                home=home,
                work=rng.choice(offices) if rng.random() < 0.35 else None,
                mobile=carriers[min(int(rng.expovariate(0.7)), len(carriers) - 1)],
                devices=devices,
                objects=objects,
                busy=rng.lognormvariate(0, 0.5),
                careless=rng.betavariate(1, 15),
                known={device.id for device in devices},
            )
        )
    return Populace(people=people, software=software, weights=weights, offices=offices, carriers=carriers, salt=salt)
