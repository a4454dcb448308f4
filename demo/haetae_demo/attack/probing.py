"""Attacks on the envelope and the surface: replays, forged signatures, sealed bodies, analysis, scanners, decoys.

Several claim other people's devices; a defence that blocks what is claimed hurts the victims. Each function plans one
campaign.
"""

from __future__ import annotations

from haetae_demo.attack.calls import Script
from haetae_demo.attack.chance import digest
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.gang import Gang
from haetae_demo.attack.people import Device, Person
from haetae_demo.attack.town import Town


def replay(town: Town) -> Scripts:
    """A captured payment is sent again and again, from elsewhere. Its signature is right: it is the victim's own."""
    gang = Gang(town, "replay")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(4)
    gang.at(0, _replay(gang, gang.strangers(1, app=True), count=400, pause_s=0.6))
    return gang.scripts


def replay_of_many(town: Town) -> Scripts:
    """Captured requests of forty people, from three machines: as if everybody had a fault at once."""
    gang = Gang(town, "replay_of_many", nerve="stubborn")
    gang.lines = town.plan.hosting(3)
    gang.at(0, _replay(gang, gang.strangers(40, app=True), count=1_200, pause_s=0.25))
    return gang.scripts


def _replay(gang: Gang, victims: list[Person], *, count: int, pause_s: float) -> Script:
    for number in range(count):
        if gang.over:
            return
        person = victims[number % len(victims)]
        device = person.devices[0]
        call = gang.call(
            gang.town.services.transfer,
            gang.line(),
            victim=person,
            user=person.id,
            user_v=True,
            nonce="replay",
            software=gang.tool,
        )
        call.from_device(device)
        call.host = 1
        yield from gang.act(call)
        yield gang.wait(pause_s)


def bad_signatures(town: Town) -> Scripts:
    """One machine tries to sign as devices it makes up."""
    gang = Gang(town, "bad_signatures")
    gang.lines, gang.spare = town.plan.proxies(1), town.plan.proxies(5)
    gang.at(0, _forge(gang, count=500, pause_s=0.8))
    return gang.scripts


def forged_crowd(town: Town) -> Scripts:
    """Thousands of invented device ids of the popular build, so that it looks like a broken release."""
    gang = Gang(town, "forged_crowd", nerve="stubborn")
    gang.lines = town.plan.hosting(5)
    gang.at(0, _forge(gang, count=2_000, pause_s=0.2))
    return gang.scripts


def forged_victims(town: Town) -> Scripts:
    """Bad signatures in the name of sixty real people's devices."""
    gang = Gang(town, "forged_victims", nerve="stubborn")
    gang.lines = town.plan.hosting(2)
    gang.at(0, _forge(gang, count=1_500, pause_s=0.3, victims=gang.strangers(60, app=True)))
    return gang.scripts


def forged_neighbours(town: Town) -> Scripts:
    """The same from inside the carrier that the victims use."""
    gang = Gang(town, "forged_neighbours", nerve="stubborn")
    gang.lines = [town.populace.carriers[0]]
    victims = [person for person in gang.strangers(400, app=True) if person.mobile is gang.lines[0]][:40]
    gang.at(0, _forge(gang, count=1_000, pause_s=0.5, victims=victims))
    return gang.scripts


def _forge(gang: Gang, *, count: int, pause_s: float, victims: list[Person] | None = None) -> Script:
    services, build = gang.town.services, gang.town.populace.popular()
    for number in range(count):
        if gang.over:
            return
        person = gang.rng.choice(victims) if victims else None
        claimed = person.devices[0].id if person else f"dev_{digest(gang.campaign, number, length=20)}"
        call = gang.call(
            gang.rng.choice((services.transfer, services.record)),
            gang.line(),
            victim=person,
            dev=claimed,
            sig=gang.rng.choice(("bad", "bad", "unknown_key")),
            software=build,
        )
        yield from gang.act(call)
        yield gang.wait(pause_s)


def decrypt_probing(town: Town) -> Scripts:
    """An enrolled device sends sealed bodies that do not open, to learn from the answers."""
    gang = Gang(town, "decrypt_probing", nerve="stubborn")
    gang.lines = town.plan.proxies(1)
    gang.at(0, _seal_badly(gang, gang.device(), count=500))
    return gang.scripts


def _seal_badly(gang: Gang, device: Device, *, count: int) -> Script:
    user, session = gang.member(0)
    for _ in range(count):
        call = gang.call(gang.town.services.transfer, gang.line(), user=user, user_v=True, sess=session)
        call.sig, call.dec, call.nonce = "ok", "fail", "ok"
        yield from gang.act(call.from_device(device))
        yield gang.wait(1.0)


def app_analysis(town: Town) -> Scripts:
    """Somebody takes the app apart: a little of every fault, hidden paths, no attestation; a request in six seconds."""
    gang = Gang(town, "app_analysis", nerve="stubborn")
    gang.lines = town.plan.proxies(1)
    gang.at(0, _analyse(gang, gang.device(software=town.populace.popular()), count=150))
    return gang.scripts


def _analyse(gang: Gang, device: Device, *, count: int) -> Script:
    services, rng = gang.town.services, gang.rng
    device.attest = "fail"
    for number in range(count):
        draw = rng.random()
        call = gang.call(services.transfer, gang.line(), software=device.software)
        if draw < 0.2:
            call.api, call.path = None, f"/hidden/{number}"
        elif draw < 0.35:
            call.dec, call.sig = "fail", "ok"
        elif draw < 0.75:
            call.sig = rng.choice(("bad", "expired", "skew", "unknown_key"))
        elif draw < 0.85:
            call.nonce, call.sig = "replay", "ok"
        else:
            call.api = services.feed
        yield from gang.act(call.from_device(device))
        yield gang.wait(6.0)


def scanner(town: Town) -> Scripts:
    """A list of well-known paths, from one rented machine."""
    gang = Gang(town, "scanner")
    gang.lines, gang.spare = town.plan.hosting(1), town.plan.hosting(5)
    gang.at(0, _scan(gang, count=1_500, pause_s=0.2))
    return gang.scripts


def _scan(gang: Gang, *, count: int, pause_s: float) -> Script:
    for number in range(count):
        if gang.over:
            return
        yield from gang.act(gang.call(None, gang.line(), path=f"/{digest('scan', number, length=6)}.php"))
        yield gang.wait(pause_s)


def decoy(town: Town) -> Scripts:
    """A careful visitor finds the route that is there for nobody, and comes back to it."""
    gang = Gang(town, "decoy", nerve="stubborn")
    gang.lines = town.plan.proxies(1)
    gang.at(0, _touch_decoy(gang, gang.device(), count=40))
    return gang.scripts


def _touch_decoy(gang: Gang, device: Device, *, count: int) -> Script:
    services = gang.town.services
    for _ in range(count):
        call = gang.call(gang.rng.choice((services.decoy, services.feed, services.decoy)), gang.line())
        yield from gang.act(call.from_device(device))
        yield gang.wait(10.0)
