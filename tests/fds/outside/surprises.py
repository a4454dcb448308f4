"""Days and attacks of the bazaar that nobody looked at while rules were written: other rates, reasons and mixtures."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.fds.outside.bazaar import LISTING, ORDER, PAYOUT, SEARCH, TOKEN, Bazaar, Fields, Member, Script
from tests.fds.outside.gangs import BEGIN_S


def _carrier64(rng: Random) -> str:
    """One person's /64 behind a carrier that has IPv6 only: another one in the same wide range every time."""
    return f"2a02:{rng.randrange(0x3000, 0x3040):x}:{rng.randrange(65536):x}:{rng.randrange(65536):x}::1"


def marketing_push(world: Bazaar) -> None:
    """A bank's campaign: everybody installs a new version, whose handshake nobody has seen, and signs in with it."""
    rng = world.rng
    fresh = {"ua": f"UA/{rng.randrange(10**6)}", "ja4": f"q13i{rng.getrandbits(40):x}", "ver": "10.0"}
    for member in world.members:
        where = rng.choice((member.ip, member.ip, world.carrier, _carrier64(rng)))
        slips = int(rng.random() < 0.2) + int(rng.random() < 0.05)

        def push(member: Member = member, where: str = where, slips: int = slips) -> Script:
            yield from world.returns(member, slips, **{**fresh, "ip": where})
            now = {**fresh, "ip": where, "sess": f"{member.token}-anew"}
            for _ in range(3):
                yield rng.uniform(2, 9), world.by(member, SEARCH, n_items=20, **now)

        world.at(rng.uniform(0, 300), push(), who=member.user)


def carrier_with_ipv6_only(world: Bazaar) -> None:
    """Everybody's telephone gets a new /64 whenever it wakes up, and some sign in again."""
    rng = world.rng
    for member in world.members:

        def wake(member: Member = member) -> Script:
            for _ in range(4):
                where = _carrier64(rng)
                if rng.random() < 0.4:
                    yield from world.returns(member, int(rng.random() < 0.2), ip=where)
                for _ in range(3):
                    yield rng.uniform(2, 20), world.by(member, SEARCH, n_items=20, ip=where)

        world.at(rng.uniform(0, 300), wake(), who=member.user)


def company_vpn(world: Bazaar) -> None:
    """A company sends everybody's traffic through one new egress, and all sign in again within five minutes."""
    rng = world.rng
    for member in world.members[120:190]:

        def through(member: Member = member) -> Script:
            yield from world.returns(member, int(rng.random() < 0.3), ip="198.51.100.9")
            for _ in range(10):
                listing = f"l{int(rng.paretovariate(0.9)) % 3000}"
                yield rng.uniform(2, 15), world.by(member, LISTING, obj=listing, n_items=1, ip="198.51.100.9")

        world.at(rng.uniform(0, 300), through(), who=member.user)


def partner_with_a_wrong_token(world: Bazaar) -> None:
    """A partner's program signs with a key it should not have rotated yet, for three minutes; then it is mended."""
    rng = world.rng
    fields = {"ip": "203.0.113.40", "ua": "partner/2", "san": "feed.partner.example"}

    def program() -> Script:
        for _ in range(360):
            wrong = {"sig": "unknown_key", "status": 401}
            yield rng.uniform(0.3, 0.7), world.call(LISTING, obj=f"l{rng.randrange(3000)}", **{**fields, **wrong})
        for _ in range(200):
            yield rng.uniform(0.3, 0.7), world.call(LISTING, obj=f"l{rng.randrange(3000)}", sig="ok", **fields)

    world.at(30, program(), who="partner")


def password_managers(world: Bazaar) -> None:
    """Managers try the two passwords they remember, over and over, at home and behind the carrier."""
    rng = world.rng
    for member in world.members[60:130]:
        where = rng.choice((member.ip, world.carrier))

        def loop(member: Member = member, where: str = where) -> Script:
            fields = {"ip": where, **member.client, "dev": member.dev, "dev_v": member.dev is not None}
            for turn in range(30):
                secret = f"{member.acct}-old{turn % 2}"
                yield rng.uniform(2, 6), world.sign_in(member.acct, secret, "bad", **fields)
            yield from world.returns(member, ip=where)

        world.at(rng.uniform(0, 120), loop(), who=member.user)


def empty_secrets(world: Bazaar) -> None:
    """A broken form sends everybody's password as nothing at all, twice or three times, until the page is mended."""
    rng = world.rng
    for member in world.members[::4]:
        where = rng.choice((member.ip, world.carrier))

        def form(member: Member = member, where: str = where) -> Script:
            fields = {"ip": where, **member.client, "dev": member.dev, "dev_v": member.dev is not None}
            for _ in range(rng.randrange(2, 4)):
                yield rng.uniform(3, 20), world.sign_in(member.acct, "", "bad", **fields)
            yield 240, world.by(member, SEARCH, n_items=20)
            yield from world.returns(member, ip=where)

        world.at(rng.uniform(0, 200), form(), who=member.user)


def new_shelf(world: Bazaar) -> None:
    """A thousand new listings that nobody has asked for before, and an advertisement that brings strangers to them."""
    rng = world.rng
    for number in range(150):
        where, what = world.address(rng), world.apps[number % 2]

        def stranger(where: str = where, what: Fields = what) -> Script:
            for _ in range(rng.randrange(3, 14)):
                new = rng.random() < 0.6
                number = 7_000 + int(rng.paretovariate(0.8)) % 1000 if new else int(rng.paretovariate(0.9)) % 3000
                yield rng.uniform(2, 20), world.call(LISTING, ip=where, obj=f"l{number}", n_items=1, **what)

        world.at(rng.uniform(0, 400), stranger(), who=f"stranger{number}")


def stuffing_beside_own_accounts(world: Bazaar) -> None:
    """Between tries the attacker signs in to a dozen accounts of his own, so that most of what he does succeeds."""
    rng = world.rng
    where, tool = world.address(rng), {"ua": f"browser-{rng.getrandbits(20):x}"}

    def script() -> Script:
        for number in range(300):
            for _ in range(2):
                own = f"sha256:own{rng.randrange(12)}"
                fields = {"ip": where, "user": f"evil-{own}", **tool}
                yield rng.uniform(0.2, 0.8), world.sign_in(own, "mine", "ok", **fields)
            acct = rng.choice(world.members).acct
            yield rng.uniform(0.3, 1), world.sign_in(acct, f"leak{number}", "bad", ip=where, **tool)

    world.at(BEGIN_S, script())


def one_try_an_address(world: Bazaar) -> None:
    """Residential proxies, none used twice, with a common app, a try every few seconds."""
    rng = world.rng

    def script() -> Script:
        for number in range(130):
            member = rng.choice(world.members)
            fields = {"ip": world.address(rng), **world.apps[1]}
            yield rng.uniform(2.5, 5), world.sign_in(member.acct, f"leak{number}", "bad", **fields)

    world.at(BEGIN_S, script())


def stuffing_over_one_site(world: Bazaar) -> None:
    """One rented IPv6 /48: every try from another /64 of it, as the popular app."""
    rng = world.rng

    def script() -> Script:
        for number in range(250):
            member = rng.choice(world.members)
            fields = {"ip": f"2a0d:77:1:{rng.randrange(65536):x}::5", **world.apps[0]}
            yield rng.uniform(0.5, 2), world.sign_in(member.acct, f"list{number}", "bad", **fields)

    world.at(BEGIN_S, script())


def objects_over_many_accounts(world: Bazaar) -> None:
    """Forty accounts share the search for other people's orders: two a minute each, mostly denied."""
    rng = world.rng
    tool = {"ua": f"lib-{rng.getrandbits(24):x}", "ja4": f"q13d{rng.getrandbits(40):x}"}
    for number in range(40):
        who = f"{world.seed:08x}{number:023x}e"
        fields = {"user": who, "user_v": True, "sess": f"tok-many{number}", "ip": world.address(rng), **tool}

        def script(fields: Fields = fields) -> Script:
            for _ in range(18):
                order = rng.randrange(9_000)
                status = 200 if rng.random() < 0.15 else 403
                seen: dict[str, Any] = {**fields, "status": status}
                yield rng.uniform(20, 40), world.call(ORDER, obj=f"o{order}", obj_n=order, **seen)

        world.at(BEGIN_S + rng.uniform(0, 30), script())


def payouts_after_bought_passwords(world: Bazaar) -> None:
    """Passwords that were bought: right at once, on a device enrolled just now, and then the money in small sums."""
    rng = world.rng
    for number, member in enumerate(world.members[140:150]):
        dev: Fields = {
            "dev": f"urn:device:mule{number}", "dev_v": True, "dev_age": 120, "ip": world.address(rng), **world.apps[0],
        }  # fmt: skip

        def enter(member: Member = member, dev: Fields = dev) -> Script:
            yield 1, world.sign_in(member.acct, "right", "ok", **{**dev, "user": member.user})

        def take(member: Member = member, dev: Fields = dev) -> Script:
            more = {"user": member.user, "user_v": True, "sess": f"mule{member.user}", "sig": "ok"}
            for _ in range(25):
                yield rng.uniform(3, 12), world.call(PAYOUT, **{**dev, **more})

        world.at(BEGIN_S + number * 20, enter(), who="burglar")
        world.at(BEGIN_S + number * 20 + 4, take())


def forging_neighbours(world: Bazaar) -> None:
    """Somebody in the office signs wrongly in his neighbours' names, also where they sign in."""
    rng = world.rng
    victims = [member for member in world.members[:30] if member.dev is not None]
    for member in victims[::3]:
        world.at(rng.uniform(60, 500), world.returns(member, ip=world.office), who=member.user)

    def script() -> Script:
        for number in range(500):
            victim = rng.choice(victims)
            fields = {"dev": victim.dev, "user": victim.user, "ip": world.office, **world.apps[0]}
            wrong = {"sig": rng.choice(("bad", "unknown_key")), "status": 401}
            api = TOKEN if number % 10 == 0 else rng.choice((PAYOUT, ORDER))
            yield rng.uniform(0.3, 1.2), world.call(api, **{**fields, **wrong})

    world.at(BEGIN_S, script())


def forging_at_every_door(world: Bazaar) -> None:
    """Known ids with wrong signatures from twenty homes at once, as the popular app."""
    rng = world.rng
    victims = [member for member in world.members[100:] if member.dev is not None][:50]
    places = [world.address(rng) for _ in range(20)]
    for member in victims[::2]:
        world.at(rng.uniform(60, 500), world.returns(member), who=member.user)

    def script() -> Script:
        for number in range(700):
            victim = rng.choice(victims)
            fields = {"dev": victim.dev, "user": victim.user, "ip": places[number % 20], **world.apps[0]}
            yield rng.uniform(0.2, 0.8), world.call(PAYOUT, **{**fields, "sig": "bad", "status": 401})

    world.at(BEGIN_S, script())


ATTACKS: dict[str, tuple[Any, int, float]] = {}
"""Each with the most requests before its first refusal and the most of its last third that may come through."""
for _scene, _before, _residual in (
    (stuffing_beside_own_accounts, 40, 0.05), (one_try_an_address, 25, 0.05), (stuffing_over_one_site, 16, 0.05),
    (objects_over_many_accounts, 160, 0.1), (payouts_after_bought_passwords, 0, 0.05),
    (forging_neighbours, 80, 0.05), (forging_at_every_door, 100, 0.05),
):  # fmt: skip
    ATTACKS[_scene.__name__] = (_scene, _before, _residual)

HARD_DAYS = {
    day.__name__: day
    for day in (
        marketing_push, carrier_with_ipv6_only, company_vpn, partner_with_a_wrong_token, password_managers,
        empty_secrets, new_shelf,
    )
}  # fmt: skip

CLAIMED = {
    "forging_neighbours": lambda world: world.members[:30],
    "forging_at_every_door": lambda world: world.members[100:],
}
"""Whose ids an attack claims."""
