"""Attacks and hard days of the bazaar. Rates, reach and clients are drawn from the seed, within wide bounds."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.fds.outside.bazaar import (
    JOIN,
    LISTING,
    MAIL,
    ORDER,
    PAYOUT,
    SEARCH,
    TRAP,
    Bazaar,
    Fields,
    Member,
    Script,
)

BEGIN_S = 60


def _tool(rng: Random) -> Fields:
    return {"ua": f"tool-{rng.getrandbits(24):x}", "ja4": f"q13d{rng.getrandbits(40):x}"}


def _guesses(world: Bazaar, member: Member, places: list[str], tool: Fields, pause: float, count: int) -> Script:
    for number in range(count):
        where = places[number % len(places)]
        yield pause, world.sign_in(member.acct, f"g{number}", "bad", ip=where, **tool)


def brute_force(world: Bazaar) -> None:
    rng = world.rng
    world.at(BEGIN_S, _guesses(world, world.members[130], [world.address(rng)], _tool(rng), rng.uniform(0.5, 2), 200))


def brute_force_from_everywhere(world: Bazaar) -> None:
    rng = world.rng
    places = [world.address(rng) for _ in range(60)]
    world.at(BEGIN_S, _guesses(world, world.members[131], places, dict(world.apps[0]), rng.uniform(1, 4), 120))


def _leak(world: Bazaar, places: list[str], tools: list[Fields], pause: float, count: int) -> Script:
    for number in range(count):
        real = world.rng.random() < 0.5
        acct = world.rng.choice(world.members).acct if real else f"sha256:none{number}"
        outcome = "bad" if real else "nouser"
        where = places[number % len(places)]
        yield pause, world.sign_in(acct, f"leak{number}", outcome, ip=where, **tools[number % len(tools)])


def stuffing(world: Bazaar) -> None:
    rng = world.rng
    world.at(BEGIN_S, _leak(world, [world.address(rng)], [_tool(rng)], rng.uniform(0.2, 1), 400))


def stuffing_from_everywhere(world: Bazaar) -> None:
    rng = world.rng
    world.at(BEGIN_S, _leak(world, [world.address(rng) for _ in range(250)], [_tool(rng)], rng.uniform(0.3, 0.8), 500))


def stuffing_as_the_popular_app(world: Bazaar) -> None:
    rng = world.rng
    world.at(BEGIN_S, _leak(world, [world.address(rng) for _ in range(250)], [world.apps[0]], rng.uniform(0.3, 1), 400))


def stuffing_changing_address(world: Bazaar) -> None:
    rng = world.rng
    places = [place for place in (world.address(rng) for _ in range(30)) for _ in range(15)]
    world.at(BEGIN_S, _leak(world, places, [_tool(rng)], 0.7, 450))


def spraying(world: Bazaar) -> None:
    rng = world.rng
    places = [world.address(rng) for _ in range(80)]

    def script() -> Script:
        for number, member in enumerate(world.members[100:]):
            fields = {"ip": places[number % 80], **world.apps[0]}
            yield rng.uniform(1.5, 4), world.sign_in(member.acct, "Spring26!", "bad", **fields)

    world.at(BEGIN_S, script())


def account_search(world: Bazaar) -> None:
    rng = world.rng
    where, tool = world.address(rng), _tool(rng)

    def script() -> Script:
        for number in range(300):
            yield rng.uniform(0.5, 1.5), world.sign_in(f"sha256:who{number}", "x", "nouser", ip=where, **tool)

    world.at(BEGIN_S, script())


def _customer(world: Bazaar, number: int, where: str, client: Fields) -> Fields:
    who = f"{world.seed:08x}{number:024x}"
    return {"user": who, "user_v": True, "sess": f"tok-evil{number}", "ip": where, **client}


def object_search(world: Bazaar) -> None:
    rng = world.rng
    who = _customer(world, 1, world.address(rng), world.apps[0])

    def script() -> Script:
        for _ in range(300):
            order = rng.randrange(9_000)
            status = 403 if rng.random() < 0.8 else 404
            yield rng.uniform(0.6, 2), world.call(ORDER, obj=f"o{order}", obj_n=order, **{**who, "status": status})

    world.at(BEGIN_S, script())


def object_walk(world: Bazaar) -> None:
    rng = world.rng
    who, step = _customer(world, 2, world.address(rng), world.apps[1]), rng.choice((1, 7, -2))

    def script() -> Script:
        for number in range(200):
            order = 5_000 + step * number
            yield rng.uniform(0.8, 3), world.call(ORDER, obj=f"o{order}", obj_n=order, **who)

    world.at(BEGIN_S, script())


def _reads(world: Bazaar, who: Fields, first: int, pause: float, count: int) -> Script:
    for number in range(count):
        fields = {"obj": f"l{50_000 + first + number * 13}", "n_items": 1}
        yield world.rng.uniform(0.7, 1.3) * pause, world.call(LISTING, **{**who, **fields})


def scraping(world: Bazaar) -> None:
    rng = world.rng
    who = _customer(world, 3, world.address(rng), _tool(rng))
    world.at(BEGIN_S, _reads(world, who, 0, rng.uniform(0.1, 0.5), 1500))


def scraping_together(world: Bazaar) -> None:
    for number in range(14):
        who = _customer(world, 20 + number, world.address(world.rng), world.apps[0])
        world.at(BEGIN_S + number, _reads(world, who, number * 9_000, world.rng.uniform(1, 2), 350))


def scraping_without_account(world: Bazaar) -> None:
    for number in range(25):
        who = {"ip": world.address(world.rng), **world.apps[1]}
        world.at(BEGIN_S + number / 3, _reads(world, who, number * 9_000, world.rng.uniform(2, 4), 220))


def _faulty(world: Bazaar, fields: Fields, pause: float, count: int) -> Script:
    for _ in range(count):
        yield world.rng.uniform(0.6, 1.4) * pause, world.call(PAYOUT, **{"status": 401, **fields})


def replays(world: Bazaar) -> None:
    rng = world.rng
    victim = next(m for m in world.members[100:] if m.dev is not None)
    fields = {"dev": victim.dev, "dev_v": True, "user": victim.user, "sig": "ok", "nonce": "replay", **_tool(rng)}
    world.at(BEGIN_S, _faulty(world, {**fields, "ip": world.address(rng), "status": 409}, 1.0, 200))


def forged_signatures_of_victims(world: Bazaar) -> None:
    rng = world.rng
    where, tool = world.address(rng), _tool(rng)

    def script() -> Script:
        for number in range(300):
            victim = rng.choice([m for m in world.members if m.dev is not None])
            fields = {"dev": victim.dev, "user": victim.user, "sig": "bad", "ip": where, **tool, "status": 401}
            yield rng.uniform(0.3, 1), world.call((PAYOUT, MAIL)[number % 2], **fields)

    world.at(BEGIN_S, script())


def sealed_bodies(world: Bazaar) -> None:
    rng = world.rng
    fields = {"dev": "urn:device:evil", "dev_v": True, "sig": "ok", "dec": "fail", **_tool(rng)}
    world.at(BEGIN_S, _faulty(world, {**fields, "ip": world.address(rng), "status": 400}, 1.5, 150))


def app_analysis(world: Bazaar) -> None:
    rng = world.rng
    base = {"ip": world.address(rng), "dev": "urn:device:lab", **world.apps[0]}
    kinds: list[Fields] = [
        {"sig": "bad"}, {"sig": "ok", "dev_v": True, "dec": "fail"}, {"sig": "expired"}, {"nonce": "replay"},
    ]  # fmt: skip

    def script() -> Script:
        for number in range(90):
            yield rng.uniform(2, 6), world.call(PAYOUT, **{**base, "status": 400, **kinds[number % 4]})

    world.at(BEGIN_S, script())


def scanner(world: Bazaar) -> None:
    rng = world.rng
    where = world.address(rng)

    def script() -> Script:
        for number in range(400):
            yield rng.uniform(0.1, 0.6), world.call(None, ip=where, ua="scan", obj=f"path{number}")

    world.at(BEGIN_S, script())


def takeover(world: Bazaar) -> None:
    """Guessed or bought passwords, a new device each; the money is what would do harm, the rest is not counted."""
    rng = world.rng
    for number, member in enumerate([m for m in world.members[100:] if m.dev is not None][:6]):
        where = world.address(rng)
        dev = {"dev": f"urn:device:new{number}", "dev_v": True, "dev_age": 40, "sig": "ok", "ip": where,
               **world.apps[0]}  # fmt: skip

        def enter(member: Member = member, dev: Fields = dev) -> Script:
            yield 1, world.sign_in(member.acct, "right", "ok", user=member.user, **dev)

        def take(member: Member = member, dev: Fields = dev, number: int = number) -> Script:
            for _ in range(12):
                more = {"user": member.user, "user_v": True, "sess": f"tok-new{number}"}
                yield 8, world.call(rng.choice((PAYOUT, MAIL)), **dev, **more)

        world.at(BEGIN_S + number * 15, enter(), who="burglar")
        world.at(BEGIN_S + number * 15 + 5, take())


def stolen_token(world: Bazaar) -> None:
    rng = world.rng
    member = world.members[150]

    def owner() -> Script:
        for _ in range(60):
            yield 5, world.by(member, SEARCH)

    def thief() -> Script:
        fields = {"ip": world.address(rng), **_tool(rng), "user": member.user, "user_v": True, "sess": member.token}
        for _ in range(60):
            yield 4, world.call(ORDER, obj=f"o{member.orders[0]}", **fields)

    world.at(BEGIN_S - 30, owner(), who=member.user)
    world.at(BEGIN_S, thief())


def flood(world: Bazaar) -> None:
    who = _customer(world, 4, world.address(world.rng), _tool(world.rng))

    def script() -> Script:
        for _ in range(4_000):
            yield 0.03, world.call(SEARCH, **who)

    world.at(BEGIN_S, script())


def trap(world: Bazaar) -> None:
    fields = {"ip": world.address(world.rng), **_tool(world.rng), "status": 404}

    def script() -> Script:
        for _ in range(40):
            yield 5, world.call(TRAP, **fields)

    world.at(BEGIN_S, script())


def accounts_in_bulk(world: Bazaar) -> None:
    rng = world.rng
    where, tool = world.address(rng), _tool(rng)

    def script() -> Script:
        for number in range(150):
            yield (
                rng.uniform(1, 4),
                world.call(JOIN, **{"ip": where, "acct": f"sha256:bulk{number}", **tool, "status": 201}),
            )

    world.at(BEGIN_S, script())


ATTACKS: dict[str, tuple[Any, float, float]] = {}
"""Each with the most seconds to its first refusal and the most of its last third that may come through."""
for _scene, _seconds, _residual in (
    (brute_force, 30, 0.05), (brute_force_from_everywhere, 60, 0.05), (stuffing, 20, 0.05),
    (stuffing_from_everywhere, 40, 0.05), (stuffing_as_the_popular_app, 60, 0.05),
    (stuffing_changing_address, 30, 0.1), (spraying, 60, 0.05), (account_search, 30, 0.05),
    (object_search, 60, 0.05), (object_walk, 60, 0.05), (scraping, 90, 0.1), (scraping_together, 120, 0.1),
    (scraping_without_account, 180, 0.1), (replays, 10, 0.05), (forged_signatures_of_victims, 30, 0.05),
    (sealed_bodies, 20, 0.05), (app_analysis, 60, 0.05), (scanner, 15, 0.05), (takeover, 5, 0.05),
    (stolen_token, 20, 0.05), (flood, 30, 0.1), (trap, 10, 0.05), (accounts_in_bulk, 30, 0.05),
):  # fmt: skip
    ATTACKS[_scene.__name__] = (_scene, _seconds, _residual)


def plain_day(world: Bazaar) -> None:
    """Nothing but plain life."""


def expired_password(world: Bazaar) -> None:
    """Mail programs of an office repeat one old password for minutes."""
    for member in world.members[:30]:

        def repeat(member: Member = member) -> Script:
            for _ in range(20):
                fields = {"ip": world.office, **member.client, "dev": member.dev, "dev_v": member.dev is not None}
                yield world.rng.uniform(5, 15), world.sign_in(member.acct, "old", "bad", **fields)
            yield from world.returns(member)

        world.at(world.rng.uniform(0, 60), repeat(), who=member.user)


def morning_rush(world: Bazaar) -> None:
    """An office signs in at nine, a carrier's telephones in the evening, one in four with slips."""
    for member in world.members[:100]:
        slips = 2 if world.rng.random() < 0.25 else 0
        world.at(world.rng.uniform(0, 120), world.returns(member, slips), who=member.user)


def broken_release(world: Bazaar) -> None:
    """The popular app's newest version signs and seals wrongly, wherever it runs."""
    for member in world.members:
        if member.client is world.apps[0] and member.dev is not None:

            def broken(member: Member = member) -> Script:
                fields = {"ip": member.ip, **member.client, "dev": member.dev, "status": 401}
                for number in range(15):
                    kind = {"sig": "bad"} if number % 3 else {"sig": "ok", "dev_v": True, "dec": "fail"}
                    yield world.rng.uniform(2, 14), world.call(PAYOUT, **fields, **kind)

            world.at(world.rng.uniform(0, 200), broken(), who=member.user)


def key_mistake(world: Bazaar) -> None:
    """A third of all devices use a key the gateway no longer knows."""
    for member in world.members[::3]:
        if member.dev is not None:

            def unknown(member: Member = member) -> Script:
                fields = {"ip": member.ip, **member.client, "dev": member.dev, "status": 401, "sig": "unknown_key"}
                for _ in range(12):
                    yield world.rng.uniform(2, 10), world.call(ORDER, **fields)

            world.at(world.rng.uniform(0, 40), unknown(), who=member.user)


def retry_storm(world: Bazaar) -> None:
    """What got no answer is sent again, with the same nonce; some of it looks like replays."""
    for member in world.members:
        if member.dev is not None:

            def again(member: Member = member) -> Script:
                for number in range(14):
                    word = "ok" if number % 5 == 0 else "replay" if world.rng.random() < 0.05 else "retry"
                    yield world.rng.uniform(0.5, 5), world.by(member, PAYOUT, status=503, nonce=word)

            world.at(world.rng.uniform(0, 60), again(), who=member.user)


def carrier_evening(world: Bazaar) -> None:
    """Half of everybody signs in behind one carrier address, most of them never seen there."""
    for member in world.members[::2]:
        slips = 1 if world.rng.random() < 0.2 else 0
        script = world.returns(member, slips, ip=world.carrier)
        world.at(world.rng.uniform(0, 240), script, who=member.user)


HARD_DAYS = {
    day.__name__: day
    for day in (plain_day, expired_password, morning_rush, broken_release, key_mistake, retry_storm, carrier_evening)
}
