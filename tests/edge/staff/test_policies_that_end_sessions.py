"""Which policies end a person's sessions, and which only refuse what they are about."""

import asyncio
from typing import Any, cast

import pytest
from haetae_edge.io.policies import EdgePolicies
from haetae_edge.io.staff import _Ending
from haetae_oidc.io.staff_sign_in import StaffSignIn
from haetae_policy import Action, Api, Record, Subject, parse_network


class Sessions:
    """Notes what is ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    async def end_session(self, name: str) -> None:
        self.ended.append(("session", name))

    async def end_user(self, subject: str) -> int:
        self.ended.append(("user", subject))
        return 1


class Known:
    """Policies that were loaded."""

    loaded = True


def policy(**changes: Any) -> Record:
    good: dict[str, Any] = {
        "pid": 1,
        "ver": 1,
        "exp_ms": 2_000_000_000_000,
        "action": Action.BLOCK,
        "subject": Subject(user="u-1"),
        "api": Api(),
    }
    return Record(**(good | changes))


async def ended_by(record: Record) -> list[tuple[str, str]]:
    sessions = Sessions()
    ending = _Ending(cast(StaffSignIn, sessions), cast(EdgePolicies, Known()), gateway="internal")
    ending.consider(record)
    await asyncio.gather(*ending._tasks)
    return sessions.ended


@pytest.mark.parametrize(
    ("record", "ended"),
    [
        (policy(), ("user", "u-1")),
        (policy(action=Action.CHALLENGE, api=Api(gateway="internal")), ("user", "u-1")),
        (policy(subject=Subject(session="s-1")), ("session", "s-1")),
        (policy(subject=Subject(session="s-1", user="u-1")), ("session", "s-1")),
    ],
)
async def test_policy_that_shuts_a_person_out_ends_the_sessions(record: Record, ended: tuple[str, str]) -> None:
    assert await ended_by(record) == [ended]


@pytest.mark.parametrize(
    "record",
    [
        policy(shadow=True),
        policy(action=Action.OBSERVE),
        policy(action=Action.THROTTLE),
        policy(api=Api(gateway="app")),
        policy(api=Api(path="/app/dev_tools")),
        policy(api=Api(gateway="internal", route="grafana")),
        policy(api=Api(method="DELETE")),
        policy(subject=Subject(user="u-1", client="curl")),
        policy(subject=Subject(user="u-1", device="d-1")),
        policy(subject=Subject(user="u-1", account="a-1")),
        policy(subject=Subject(user="u-1", untrusted=True)),
        policy(subject=Subject(user="u-1", ip=parse_network("192.0.2.0/24"))),
        policy(subject=Subject()),
    ],
)
async def test_policy_that_refuses_nothing_or_only_some_calls_signs_nobody_out(record: Record) -> None:
    assert await ended_by(record) == []
