"""The attacks that ``haetae demo attack`` plays over HTTP: who calls from where, with which name and password.

Addresses are of the networks set aside for documentation (RFC 3849, RFC 5737). Chance is an argument. Does not
send anything.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from haetae_demo.log_in import CUSTOMERS, customer_name, customer_password

BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
)
#: Honest customers are among the first, attacks are on the others.
_HONEST = 200
_MISTYPED = 0.1
_LEAKED_RIGHT = 0.02
_COMMON = "Winter2026!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One log-in. ``right``: whether these credentials open an account."""

    address: str
    agent: str
    name: str
    password: str
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One attack and how it goes on for ever."""

    name: str
    summary: str
    attempts: Callable[[random.Random], Iterator[Attempt]]


def honest(chance: random.Random) -> Iterator[Attempt]:
    """People at home, each with an address, a browser and a password that is now and then mistyped."""
    people = [
        (f"198.51.100.{host}", chance.choice(BROWSERS), customer_name(number))
        for host, number in zip(chance.sample(range(1, 255), 12), chance.sample(range(1, _HONEST + 1), 12), strict=True)
    ]
    while True:
        for address, agent, name in people:
            if chance.random() < _MISTYPED:
                mistyped = customer_password(name)[:-1]
                yield Attempt(address=address, agent=agent, name=name, password=mistyped, right=False)
            yield Attempt(address=address, agent=agent, name=name, password=customer_password(name), right=True)


def find(word: str) -> Kind | None:
    """The attack of that name, or the first whose name begins so."""
    name = word.replace("_", "-")
    return next((kind for kind in KINDS if kind.name.startswith(name)), None)


def _hosts(chance: random.Random, count: int) -> list[str]:
    """Rented machines, each in a network of its own."""
    return [f"2001:db8:{0x8000 + chance.randrange(0x8000):x}::{chance.randrange(1, 0xFFFF):x}" for _ in range(count)]


def _tool(chance: random.Random) -> str:
    """What an attacker's program calls itself: another name each time, or the last attack's blocks would meet it."""
    return f"python-requests/2.{chance.randrange(20, 40)}.{chance.randrange(1000)}"


def _victims(chance: random.Random) -> Iterator[str]:
    while True:
        for number in chance.sample(range(_HONEST + 1, CUSTOMERS + 1), CUSTOMERS - _HONEST):
            yield customer_name(number)


def _stuffing(chance: random.Random) -> Iterator[Attempt]:
    hosts, tool = _hosts(chance, 3), _tool(chance)
    for number, name in enumerate(_victims(chance)):
        right = chance.random() < _LEAKED_RIGHT
        password = customer_password(name) if right else f"leaked-{chance.randrange(10**9)}"
        yield Attempt(address=hosts[number % len(hosts)], agent=tool, name=name, password=password, right=right)


def _brute_force(chance: random.Random) -> Iterator[Attempt]:
    hosts, tool, name = _hosts(chance, 2), _tool(chance), next(_victims(chance))
    number = 0
    while True:
        number += 1
        yield Attempt(
            address=hosts[number % len(hosts)], agent=tool, name=name, password=f"guess-{number}", right=False
        )


def _spraying(chance: random.Random) -> Iterator[Attempt]:
    hosts, tool = _hosts(chance, 8), _tool(chance)
    for number, name in enumerate(_victims(chance)):
        yield Attempt(address=hosts[number % len(hosts)], agent=tool, name=name, password=_COMMON, right=False)


def _enumeration(chance: random.Random) -> Iterator[Attempt]:
    hosts, tool = _hosts(chance, 2), _tool(chance)
    number = 0
    while True:
        number += 1
        name = f"guest-{chance.randrange(10**6)}"
        yield Attempt(address=hosts[number % len(hosts)], agent=tool, name=name, password=name, right=False)


KINDS = (
    Kind(name="stuffing", summary="leaked names and passwords from three machines", attempts=_stuffing),
    Kind(name="brute-force", summary="one customer's password guessed from two machines", attempts=_brute_force),
    Kind(name="spraying", summary="one common password on many customers, from eight machines", attempts=_spraying),
    Kind(name="enumeration", summary="which names exist, asked from two machines", attempts=_enumeration),
)
