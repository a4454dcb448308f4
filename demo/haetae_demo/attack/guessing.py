"""Attacks on the log-in: brute force, stuffing, spraying, looking for accounts. Each function plans one campaign."""

from __future__ import annotations

from collections.abc import Iterable

from haetae_demo.attack.calls import Script
from haetae_demo.attack.chance import digest
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.gang import Gang
from haetae_demo.attack.people import Device, Person
from haetae_demo.attack.town import Town


def brute_force_one_source(town: Town) -> Scripts:
    """One account, one rented machine, a password every second and a half; the right one is number 150."""
    gang = Gang(town, "brute_force_one_source")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(6)
    gang.at(0, _guess(gang, gang.strangers(1)[0], tries=400, right=150, pause_s=1.5))
    return gang.scripts


def brute_force_many_sources(town: Town) -> Scripts:
    """One account, forty proxies."""
    gang = Gang(town, "brute_force_many_sources")
    gang.lines, gang.spare = town.plan.proxies(40), town.plan.proxies(40)
    gang.at(0, _guess(gang, gang.strangers(1)[0], tries=300, right=120, pause_s=2.5))
    return gang.scripts


def brute_force_slow(town: Town) -> Scripts:
    """Three accounts, each guessed twice a minute, from a new proxy every time."""
    gang = Gang(town, "brute_force_slow", nerve="stubborn")
    gang.lines = town.plan.proxies(60)
    for person in gang.strangers(3):
        gang.at(gang.rng.uniform(0, 20), _guess(gang, person, tries=60, right=20, pause_s=30))
    return gang.scripts


def _guess(gang: Gang, person: Person, *, tries: int, right: int, pause_s: float) -> Script:
    for number in range(tries):
        if gang.over:
            return
        hit = number == right
        secret = person.secret if hit else f"guess-{number}"
        yield from gang.act(
            gang.call(
                gang.town.services.log_in, gang.line(), harm=hit, victim=person, acct=person.account, secret=secret
            )
        )
        yield gang.wait(pause_s)


def stuffing_one_address(town: Town) -> Scripts:
    """A leaked list from one machine, three pairs a second."""
    gang = Gang(town, "stuffing_one_address")
    gang.lines, gang.spare = town.plan.hosting(1), []
    gang.at(0, _stuff(gang, gang.leak(1_500), pause_s=0.33))
    return gang.scripts


def stuffing_rotating(town: Town) -> Scripts:
    """The same with thirty machines in reserve: another address after every block."""
    gang = Gang(town, "stuffing_rotating", nerve="rotate")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(30)
    gang.at(0, _stuff(gang, gang.leak(1_500), pause_s=0.33))
    return gang.scripts


def stuffing_distributed(town: Town) -> Scripts:
    """Three hundred proxies, none used twice in a row, one program behind them all."""
    gang = Gang(town, "stuffing_distributed")
    gang.lines = town.plan.proxies(300)
    gang.at(0, _stuff(gang, gang.leak(2_000), pause_s=0.3))
    return gang.scripts


def stuffing_mimic(town: Town) -> Scripts:
    """Distributed, and every request looks like the most popular app on a new telephone."""
    gang = Gang(town, "stuffing_mimic")
    gang.lines = town.plan.proxies(250)
    build = town.populace.popular()
    devices = [gang.device(software=build, age_s=gang.rng.randrange(30, 600)) for _ in range(250)]
    gang.at(0, _stuff(gang, gang.leak(1_500), pause_s=0.5, devices=devices))
    return gang.scripts


def stuffing_slow(town: Town) -> Scripts:
    """A pair every four seconds from four hundred proxies: no address is seen more than twice in ten minutes."""
    gang = Gang(town, "stuffing_slow", nerve="stubborn")
    gang.lines = town.plan.proxies(400)
    gang.at(0, _stuff(gang, gang.leak(1_000, valid=0.04), pause_s=4.0))
    return gang.scripts


def stuffing_in_carrier(town: Town) -> Scripts:
    """From a telephone behind the carrier address that hundreds of honest people use."""
    gang = Gang(town, "stuffing_in_carrier", nerve="stubborn")
    gang.lines = [town.populace.carriers[0]]
    gang.at(0, _stuff(gang, gang.leak(1_200), pause_s=0.5))
    return gang.scripts


def _stuff(
    gang: Gang,
    pairs: Iterable[tuple[str, str, Person | None]],
    *,
    pause_s: float,
    devices: list[Device] | None = None,
) -> Script:
    for account, secret, person in pairs:
        if gang.over:
            return
        hit = person is not None and person.secret == secret
        call = gang.call(gang.town.services.log_in, gang.line(), harm=hit, victim=person, acct=account, secret=secret)
        if devices:
            device = gang.rng.choice(devices)
            call.software = device.software
            call.from_device(device)
        yield from gang.act(call)
        yield gang.wait(pause_s)


def spraying(town: Town) -> Scripts:
    """The one password everybody might have, tried on account after account, through sixty proxies."""
    gang = Gang(town, "spraying")
    gang.lines = town.plan.proxies(60)
    secret = "common-7"
    targets = gang.strangers(600)
    pairs = [(person.account, secret, person) for person in targets]
    gang.at(0, _stuff(gang, pairs, pause_s=1.0))
    return gang.scripts


def spraying_slow(town: Town) -> Scripts:
    """The same four times a minute, from two hundred proxies, as the most popular app."""
    gang = Gang(town, "spraying_slow", nerve="stubborn")
    gang.lines = town.plan.proxies(200)
    build = town.populace.popular()
    devices = [gang.device(software=build, age_s=gang.rng.randrange(30, 600)) for _ in range(60)]
    pairs = [(person.account, "common-3", person) for person in gang.strangers(600)]
    gang.at(0, _stuff(gang, pairs, pause_s=15.0, devices=devices))
    return gang.scripts


def account_search(town: Town) -> Scripts:
    """Does this name have an account? One machine, by log-in and by forgotten password."""
    gang = Gang(town, "account_search")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(4)
    gang.at(0, _ask_for_accounts(gang, count=1_000, pause_s=0.7))
    return gang.scripts


def account_search_from_a_net(town: Town) -> Scripts:
    """The same over two hundred addresses of one rented /24."""
    gang = Gang(town, "account_search_from_a_net", nerve="stubborn")
    gang.lines = town.plan.one_net(200)
    gang.at(0, _ask_for_accounts(gang, count=1_500, pause_s=0.4))
    return gang.scripts


def _ask_for_accounts(gang: Gang, *, count: int, pause_s: float) -> Script:
    services = gang.town.services
    for number in range(count):
        if gang.over:
            return
        known = gang.rng.random() < 0.12
        person = gang.rng.choice(gang.town.populace.people) if known else None
        account = person.account if person else digest(gang.town.salt, gang.kind, "name", number)
        by_log_in = gang.rng.random() < 0.8
        call = gang.call(
            services.log_in if by_log_in else services.forgot, gang.line(), harm=known, victim=person, acct=account
        )
        call.secret = "anything" if by_log_in else None
        yield from gang.act(call)
        yield gang.wait(pause_s)
