"""The tour's attack: somebody tries leaked passwords at the log-in, and is refused while people sign in."""

import asyncio
import random
import secrets

import aiohttp

from haetae_cli.demo_attack_kinds import Attempt, find, honest
from haetae_cli.tour.place import Outcome

SIGN_IN_GATEWAY = "sign-in"
#: A cold engine takes twice its usual limit of eight accounts; the rest is time for the block to travel.
MOST = 80
_PAUSE = 0.02


async def attack_is_refused_and_people_are_not(gateway: str, *, acts: bool) -> Outcome:
    """Attack from one machine until it is refused. ``acts``: fraud detection enforces; else nobody is refused."""
    chance = random.Random(secrets.randbits(32))  # noqa: S311 - a play
    kind = find("stuffing")
    if kind is None:
        return Outcome(passed=False, note="there is no such attack")
    people, attempts = honest(chance), kind.attempts(chance)
    machine = next(attempts).address
    url = f"{gateway}/api/v1/login"
    tried = signed_in = 0
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        for attempt in attempts:
            if attempt.address != machine:
                continue
            tried += 1
            if tried > MOST:
                break
            if await _status(session, url, attempt) == 403:
                return Outcome(passed=acts, note=f"403 after {tried - 1} attempts; {signed_in} people signed in")
            if tried % 5 == 0:
                person = next(people)
                status = await _status(session, url, person)
                if status != (200 if person.right else 401):
                    return Outcome(passed=False, note=f"somebody who signed in was answered {status}")
                signed_in += 1
            await asyncio.sleep(_PAUSE)
    note = f"{MOST} attempts, none refused" + ("" if acts else ", for fraud detection is not in enforce")
    return Outcome(passed=not acts, note=note)


async def _status(session: aiohttp.ClientSession, url: str, attempt: Attempt) -> int:
    headers = {"x-forwarded-for": attempt.address, "user-agent": attempt.agent}
    body = {"name": attempt.name, "password": attempt.password}
    async with session.post(url, json=body, headers=headers, allow_redirects=False) as answer:
        await answer.read()
        return answer.status
