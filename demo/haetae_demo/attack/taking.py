"""Attacks on what is behind the log-in: objects, whole catalogues, sessions, accounts, capacity.

Each function plans one campaign.
"""

from __future__ import annotations

from haetae_demo.attack.calls import Script
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.gang import Gang
from haetae_demo.attack.habits import look_around
from haetae_demo.attack.networks import Line
from haetae_demo.attack.people import Device, Person
from haetae_demo.attack.services import Api
from haetae_demo.attack.town import Town


def object_search(town: Town) -> Scripts:
    """A customer asks for other people's objects at random: one API forgets to check whose they are."""
    gang = Gang(town, "object_search", nerve="stubborn")
    _with_accounts(gang, town.plan.proxies(1))
    owners = town.owners
    ids = [gang.rng.randrange(town.lowest, town.highest) for _ in range(600)]
    gang.at(0, _read(gang, 0, town.services.record, ids, [obj in owners for obj in ids], pause_s=0.8))
    return gang.scripts


def object_sweep(town: Town) -> Scripts:
    """A customer counts through the objects in constant steps; every one exists."""
    gang = Gang(town, "object_sweep", nerve="stubborn")
    _with_accounts(gang, town.plan.proxies(1))
    step = gang.rng.choice((1, 2, 3, 5, 10, -1))
    first = 3_000 + gang.rng.randrange(500)
    ids = [abs(first + step * number) for number in range(500)]
    gang.at(0, _read(gang, 0, town.services.item, ids, [True] * len(ids), pause_s=1.2))
    return gang.scripts


def scraping_fast(town: Town) -> Scripts:
    """One customer takes the whole catalogue, five items a second, in no order."""
    gang = Gang(town, "scraping_fast")
    _with_accounts(gang, town.plan.hosting(1), spare=town.plan.hosting(5))
    ids = gang.rng.sample(range(1, 9_000), 3_000)
    gang.at(0, _read(gang, 0, town.services.item, ids, [True] * len(ids), pause_s=0.2))
    return gang.scripts


def scraping_slow(town: Town) -> Scripts:
    """Twenty customers share the work, each less than an item a second, all from homes."""
    gang = Gang(town, "scraping_slow", nerve="stubborn")
    _with_accounts(gang, town.plan.proxies(20))
    ids = gang.rng.sample(range(1, 40_000), 20 * 500)
    for number in range(20):
        part = ids[number::20]
        gang.at(gang.rng.uniform(0, 15), _read(gang, number, town.services.item, part, [True] * len(part), pause_s=1.3))
    return gang.scripts


def scraping_anonymous(town: Town) -> Scripts:
    """The catalogue without an account, through forty proxies, as a common browser."""
    gang = Gang(town, "scraping_anonymous", nerve="stubborn")
    gang.lines = town.plan.proxies(40)
    gang.tool = next(software for software in town.populace.software if not software.app)
    gang.at(0, _read_anonymously(gang, gang.rng.sample(range(1, 40_000), 6_000), pause_s=0.12))
    return gang.scripts


def _read_anonymously(gang: Gang, ids: list[int], *, pause_s: float) -> Script:
    for obj in ids:
        yield from gang.act(gang.call(gang.town.services.item, gang.line(), harm=True, obj=obj))
        yield gang.wait(pause_s)


def flood(town: Town) -> Scripts:
    """One customer's program calls the same API forty times a second."""
    gang = Gang(town, "flood", nerve="stubborn")
    _with_accounts(gang, town.plan.hosting(1))
    gang.at(0, _hammer(gang, count=5_000, pause_s=0.025))
    return gang.scripts


def _hammer(gang: Gang, *, count: int, pause_s: float) -> Script:
    user, session = gang.member(0)
    device = gang.device()
    for _ in range(count):
        call = gang.call(gang.town.services.feed, gang.line(), user=user, user_v=True, sess=session)
        yield from gang.act(call.from_device(device))
        yield gang.wait(pause_s)


def _with_accounts(gang: Gang, lines: list[Line], *, spare: list[Line] | None = None) -> None:
    gang.lines, gang.spare = lines, spare or []


def _read(gang: Gang, number: int, api: Api, ids: list[int], harms: list[bool], *, pause_s: float) -> Script:
    user, session = gang.member(number)
    device = gang.device(age_s=20 * 86_400)
    for obj, harm in zip(ids, harms, strict=True):
        if gang.over:
            return
        line = gang.lines[number % len(gang.lines)]
        call = gang.call(api, line, harm=harm, user=user, user_v=True, sess=session, obj=obj)
        yield from gang.act(call.from_device(device))
        yield gang.wait(pause_s)


def takeover(town: Town) -> Scripts:
    """Leaked passwords that are right: strange device, strange network, then at once the password and the money."""
    gang = Gang(town, "takeover", nerve="stubborn")
    gang.lines = town.plan.proxies(8)
    for number, person in enumerate(gang.strangers(8)):
        gang.at(number * 20.0, _take_account(gang, person, gang.lines[number % 8], guesses=0))
    return gang.scripts


def takeover_after_guessing(town: Town) -> Scripts:
    """Three or four wrong guesses, the right one, and then the same."""
    gang = Gang(town, "takeover_after_guessing", nerve="stubborn")
    gang.lines = town.plan.proxies(8)
    for number, person in enumerate(gang.strangers(8)):
        gang.at(number * 20.0, _take_account(gang, person, gang.lines[number], guesses=gang.rng.randrange(3, 5)))
    return gang.scripts


def _take_account(gang: Gang, person: Person, line: Line, *, guesses: int) -> Script:
    services = gang.town.services
    device = gang.device(software=gang.town.populace.popular())
    session = None
    for number in range(guesses + 1):
        secret = person.secret if number == guesses else f"guess-{number}"
        call = gang.call(
            services.log_in, line, victim=person, acct=person.account, secret=secret, software=device.software
        )
        answer = yield from gang.act(call.from_device(device))
        session = answer.session
        yield gang.wait(4)
    if session is None:
        return
    for _ in range(6):
        for api in (services.statement, services.enrol, services.password, services.transfer):
            obj = person.objects[0] if api is services.statement else None
            call = gang.call(
                api,
                line,
                harm=api in services.sensitive,
                victim=person,
                user=person.id,
                user_v=True,
                sess=session,
                obj=obj,
                software=device.software,
            )
            yield from gang.act(call.from_device(device))
            yield gang.wait(12)


def stolen_session(town: Town) -> Scripts:
    """Sessions copied from six people's browsers, used elsewhere while their owners are still at it."""
    gang = Gang(town, "stolen_session", nerve="stubborn")
    gang.lines = town.plan.proxies(6)
    for number, person in enumerate(gang.strangers(6)):
        device = person.devices[0]
        session = town.open_session(person, device, gang.start_ms)
        gang.at(-40, look_around(town, person, device, person.home, gang.rng, kind="owner", steps=40, gap_s=6))
        gang.at(number * 10.0, _use_session(gang, person, session, gang.lines[number]))
    return gang.scripts


def _use_session(gang: Gang, person: Person, session: str, line: Line) -> Script:
    services = gang.town.services
    for number in range(30):
        api = (services.record, services.statement, services.transfer)[number % 3]
        obj = gang.rng.choice(person.objects) if api is not services.transfer else None
        yield from gang.act(
            gang.call(api, line, harm=True, victim=person, user=person.id, user_v=True, sess=session, obj=obj)
        )
        yield gang.wait(5)


def mass_sign_up(town: Town) -> Scripts:
    """Accounts by the hundred from one machine, with a handful of enrolled devices."""
    gang = Gang(town, "mass_sign_up")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(5)
    devices = [gang.device() for _ in range(4)]
    gang.at(0, _sign_up(gang, devices, count=300, pause_s=2.0))
    return gang.scripts


def mass_sign_up_by_proxies(town: Town) -> Scripts:
    """The same from one enrolled device through forty proxies."""
    gang = Gang(town, "mass_sign_up_by_proxies", nerve="stubborn")
    gang.lines = town.plan.proxies(40)
    gang.at(0, _sign_up(gang, [gang.device()], count=200, pause_s=3.0))
    return gang.scripts


def _sign_up(gang: Gang, devices: list[Device], *, count: int, pause_s: float) -> Script:
    for number in range(count):
        if gang.over:
            return
        call = gang.call(gang.town.services.sign_up, gang.line(), harm=True, acct=f"{gang.campaign}-{number}")
        yield from gang.act(call.from_device(gang.rng.choice(devices)))
        yield gang.wait(pause_s)
