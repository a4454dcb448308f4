"""Policies as analysts make them, for tests that put them into a real store."""

import os

from haetae_policy import Action, Api, Policy, Source, SourceKind, Subject, make_policy_id


def block_of(subject: Subject, *, now_ms: int, lasts_ms: int = 600_000) -> Policy:
    """A block of this subject on every API, from `now_ms` (Unix milliseconds) on."""
    return Policy(
        id=make_policy_id(now_ms=now_ms, randomness=os.urandom(10)),
        subject=subject,
        api=Api(),
        action=Action.BLOCK,
        reason="test",
        source=Source(SourceKind.ANALYST, "kim"),
        created_ms=now_ms,
        changed_ms=now_ms,
        expires_ms=now_ms + lasts_ms,
    )
