"""The tour's blocks: one person's device on one API, within moments, and nothing else."""

import asyncio

from haetae_demo.io.mobile import Answer, MobileApp

from haetae_cli.tour.place import Outcome, Place, judge

PATIENCE_SECONDS = 5.0
BLOCKED_ROUTE = "bank-transfers"
OPEN_PATH = "/api/v1/accounts"
# An order without what the bank needs: it moves no money, and 400 shows that it reached the bank.
BLOCKED_PATH, EMPTY_ORDER, REACHED = "/api/v1/transfers", b"{}", 400


async def block_is_enforced_and_taken_back(place: Place) -> Outcome:
    """Block, see it enforced for that device on that route only, take it back, see it gone."""
    policy = await place.blocks.add(
        user=place.mina.device.user_id, device=place.mina.device.device_id, route=BLOCKED_ROUTE
    )
    try:
        began = place.clock()
        refused = await _until(place.mina, 403)
        took = (place.clock() - began) * 1000
        if (refused.status, refused.code) != (403, "blocked"):
            return judge(refused, status=403, code="blocked")
        other_api = await place.mina.call("GET", OPEN_PATH)
        other_person = await _order(place.joon)
        explained = await place.blocks.why(str(refused.problem().get("ref")))
    finally:
        await place.blocks.remove(policy)
    freed = await _until(place.mina, REACHED)
    checks = {
        "another API of the same person was blocked": other_api.status == 200,
        "another person was blocked": other_person.status == REACHED,
        "the block stayed after it was taken back": freed.status == REACHED,
        "the reference explains nothing": explained == policy,
    }
    broken = [what for what, holds in checks.items() if not holds]
    return Outcome(
        passed=not broken,
        note=broken[0] if broken else f"403 blocked after {took:.0f} ms, then free again",
        details=(
            ("policy", policy),
            ("reference in the refusal", str(refused.problem().get("ref"))),
            ("same person, another API", str(other_api.status)),
            ("another person, same API", f"{other_person.status} (let through to the bank)"),
        ),
    )


async def _until(app: MobileApp, status: int) -> Answer:
    """Call until the status comes, or patience ends. A policy travels in milliseconds; nothing announces it
    here.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        answer = await _order(app)
        if answer.status == status or loop.time() > deadline:
            return answer
        await asyncio.sleep(0.005)


async def _order(app: MobileApp) -> Answer:
    return await app.call("POST", BLOCKED_PATH, headers=(("content-type", "application/json"),), body=EMPTY_ORDER)
