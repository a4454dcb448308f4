"""Where a tour happens, and how a step reports what came of it.

A step says beforehand what must happen; :func:`judge` compares. Steps never print: ``haetae demo`` shows
their details, ``haetae up --check`` their outcome.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import aiohttp
from haetae_crypto.jwk import PublicJwk
from haetae_demo.io.mobile import Answer, MobileApp

Details = tuple[tuple[str, str], ...]
Where = TypeVar("Where")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step. ``note`` is a few words; ``details`` are label and text, for those who look
    closer.
    """

    passed: bool
    note: str
    details: Details = ()


class Blocks(Protocol):
    """Block policies, as an analyst sets them."""

    async def add(self, *, user: str, device: str, route: str) -> str:
        """Block one device of one user on one route; returns the policy's id."""
        ...

    async def remove(self, policy_id: str) -> None:
        """Take the policy back."""
        ...

    async def why(self, reference: str) -> str | None:
        """The id of the policy behind a refusal's reference, or None."""
        ...


@dataclass(slots=True, kw_only=True)
class Place:
    """A running stack as the tour sees it. ``mina`` and ``joon`` exist once the tour has enrolled them."""

    gateway: str
    identity: str
    issuer: str
    bank: str
    root_key: PublicJwk
    session: aiohttp.ClientSession
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    blocks: Blocks
    apps: dict[str, MobileApp] = field(default_factory=dict)

    @property
    def mina(self) -> MobileApp:
        """The app of the person the tour follows."""
        return self.apps["mina"]

    @property
    def joon(self) -> MobileApp:
        """The app of somebody else."""
        return self.apps["joon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[Where]):
    """One thing to see at a place. After an ``essential`` step that fails, the tour cannot go on."""

    title: str
    run: Callable[[Where], Awaitable[Outcome]]
    essential: bool = False


def judge(answer: Answer, *, status: int, code: str | None = None, details: Details = ()) -> Outcome:
    """Whether ``answer`` has this status and problem code (None: is no problem document)."""
    shown = f"{answer.status} {answer.code}" if answer.code else str(answer.status)
    passed = answer.status == status and answer.code == code
    note = shown if passed else f"{shown} instead of {status}" + (f" {code}" if code else "")
    reference = answer.problem().get("ref")
    if isinstance(reference, str):
        details = (*details, ("reference for support", reference))
    return Outcome(passed=passed, note=note, details=details)
