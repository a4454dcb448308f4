"""A worker in a process of its own, with an engine that is easy to predict; killed by the tests.

python -m tests.fds.delivery.worker_process SOCKET STATE NAME SHARDS [real]
"""

import asyncio
import pickle
import signal
import sys
from pathlib import Path

from haetae_cli.protected import read_protected
from haetae_fds import Engine, EngineSettings
from haetae_fds.decision import Action, Decision, Mode, Number, Op, Subject, policy_id
from haetae_fds.event import Event
from haetae_fds.io.run import RunSettings, fds_process
from haetae_policy.protected import NOBODY
from haetae_policy.rules import Rules

PREFIX = "t:"
ENOUGH = 5
LIFE_MS = 600_000
REAL = EngineSettings(narrow_ms=0)


class CountingEngine:
    """Blocks a user at the fifth event, once; `flood` in the name makes it a challenge that lasts longer each time,
    `broad` something that only a person may do, `everybody` even to all strangers.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count: dict[str, int] = {}
        self.overall = Mode.ENFORCE
        self.damped: dict[str, int] = {}

    def observe(self, event: Event) -> list[Decision]:
        if event.id in self.seen or event.user is None:
            return []
        self.seen.add(event.id)
        count = self.count[event.user] = self.count.get(event.user, 0) + 1
        if count < ENOUGH or (count > ENOUGH and "flood" not in event.user):
            return []
        broad = "broad" in event.user
        action = Action.CHALLENGE if "flood" in event.user else Action.ALERT if broad else Action.BLOCK
        subject = Subject(untrusted=True) if "everybody" in event.user else Subject(user=event.user)
        return [
            Decision(
                ts=event.ts,
                op=Op.PUT if count == ENOUGH else Op.EXTEND,
                mode=Mode.SHADOW if event.ts < self.damped.get(event.user, 0) else self.overall,
                action=action,
                subject=subject,
                api=None,
                exp=event.ts + LIFE_MS + count * 1000,
                detector="counting",
                why=f"{count} events of {event.user}",
                events=(event.id,),
                pid=policy_id(subject, None, action),
                numbers=(Number(name="events", value=count, limit=ENOUGH),),
                approval=broad,
                proposal=("challenge" if "everybody" in event.user else "block") if broad else None,
            )
        ]

    def set_modes(self, overall: Mode | None, detectors: dict[str, Mode]) -> None:
        self.overall = overall or Mode.ENFORCE

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        self.damped[subject.user or ""] = until

    def confirm(self, detector: str, subject: Subject) -> None:
        """It does not learn."""

    def dump(self) -> bytes:
        return pickle.dumps((self.seen, self.count))

    def load(self, saved: bytes) -> None:
        self.seen, self.count = pickle.loads(saved)  # noqa: S301 - our own


def real_engine() -> Engine:
    return Engine(REAL)


async def main(socket: str, state: str, name: str, shards: str, kind: str = "counting", protected: str = "") -> None:
    settings = RunSettings(
        redis_url=f"unix://{socket}",
        prefix=PREFIX,
        state=Path(state),
        name=name,
        shards=int(shards),
        checkpoint_s=0.2,
        rules=Rules(protected=read_protected(Path(protected)) if protected else NOBODY),
    )
    async with fds_process(settings, new_engine=real_engine if kind == "real" else CountingEngine) as process:
        task = asyncio.create_task(process.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
