"""The hard days of honest people: everything here looks like an attack and is none.

Each case is what some detector would take it for: the office with an expired password for brute force, the retry storm
for replay, the broken release for probing. Every request carries `Truth` without a campaign.
"""

from __future__ import annotations

from haetae_demo.attack.calls import Call, Pause, Script, Truth
from haetae_demo.attack.chance import chance
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.habits import log_in, log_in_call, look_around, request, visit
from haetae_demo.attack.networks import Line
from haetae_demo.attack.people import Device, Person
from haetae_demo.attack.town import Town


class _Stage:
    """A case's random generator, start and length, and the few verbs all cases use."""

    def __init__(self, town: Town, kind: str) -> None:
        self.town, self.kind = town, kind
        self.rng = chance("trouble", town.shape.name, town.shape.seed, kind)
        self.start_ms = town.shape.case_ms + town.shape.attack_after_s * 1000
        self.scripts: Scripts = []

    def at(self, after_s: float, script: Script) -> None:
        self.scripts.append((self.start_ms + int(after_s * 1000), script))

    def some(self, share: float, *, app: bool = False) -> list[tuple[Person, Device]]:
        """A share of everybody with their first device, perhaps only those who use the app."""
        pairs = [(person, person.devices[0]) for person in self.town.populace.people]
        pairs = [pair for pair in pairs if pair[1].software.app or not app]
        return self.rng.sample(pairs, max(1, int(len(pairs) * share)))

    def line(self, person: Person) -> Line:
        return person.place(self.rng, hour=self.start_ms // 3_600_000 % 24)

    def logged_in(self, person: Person, device: Device) -> None:
        if device.session is None:
            self.town.open_session(person, device, self.start_ms)


def expired_password(town: Town) -> Scripts:
    """An office's passwords expire: mail programs, calendars and telephones repeat the same old one, for minutes."""
    stage = _Stage(town, "expired_password")
    office = max(town.populace.offices, key=lambda line: len(town.populace.at(line)))
    for person in town.populace.at(office)[:40]:
        old = f"old-{person.secret}"
        for device in [*person.devices, town.new_device(person.devices[0].number, now_ms=stage.start_ms)]:
            person.known.add(device.id)
            stage.at(
                stage.rng.uniform(0, 30), _repeat_old(stage, person, device, office, old, stage.rng.randrange(10, 30))
            )
    return stage.scripts


def _repeat_old(stage: _Stage, person: Person, device: Device, line: Line, old: str, times: int) -> Script:
    for _ in range(times):
        yield log_in_call(stage.town, person, device, line, old, kind=stage.kind)
        yield Pause(stage.rng.uniform(8, 20))
    yield from log_in(stage.town, person, device, line, stage.rng, kind=stage.kind, slips=0)


def office_rush(town: Town) -> Scripts:
    """Nine o'clock: a whole office logs in within two minutes, one in five with a slip."""
    stage = _Stage(town, "office_rush")
    office = max(town.populace.offices, key=lambda line: len(town.populace.at(line)))
    for person in town.populace.at(office):
        stage.at(
            stage.rng.uniform(0, 120), _arrive(stage, person, person.devices[0], office, int(stage.rng.random() < 0.2))
        )
    return stage.scripts


def _arrive(stage: _Stage, person: Person, device: Device, line: Line, slips: int) -> Script:
    if (yield from log_in(stage.town, person, device, line, stage.rng, kind=stage.kind, slips=slips)):
        yield from look_around(stage.town, person, device, line, stage.rng, kind=stage.kind, steps=6)


def carrier_evening(town: Town) -> Scripts:
    """Half of everybody is on the telephone, behind one carrier address, and types with thumbs."""
    stage = _Stage(town, "carrier_evening")
    for person, device in stage.some(0.5):
        slips = 1 + int(stage.rng.random() * 2) if stage.rng.random() < 0.15 else 0
        stage.at(stage.rng.uniform(0, 300), _arrive(stage, person, device, town.populace.carriers[0], slips))
    return stage.scripts


def retry_storm(town: Town) -> Scripts:
    """An upstream fails for two minutes: every app repeats what got no answer, with the same nonce."""
    stage = _Stage(town, "retry_storm")
    for person, device in stage.some(0.6, app=True):
        stage.logged_in(person, device)
        stage.at(stage.rng.uniform(0, 60), _retry(stage, person, device, stage.line(person)))
    return stage.scripts


def _retry(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    services, rng = stage.town.services, stage.rng
    for _ in range(4):
        api = rng.choice((services.feed, services.transfer))
        for repeat in range(rng.randrange(2, 6)):
            call = request(person, device, line, api, kind=stage.kind)
            call.status = 503
            # The gateway may have forgotten why the first attempt failed: a few look like plain replays.
            call.nonce = "ok" if repeat == 0 else "retry" if rng.random() < 0.97 else "replay"
            yield call
            yield Pause(rng.uniform(0.5, 4))
        yield Pause(rng.uniform(5, 15))


def broken_release(town: Town) -> Scripts:
    """The newest build signs and seals wrongly: everybody who runs it fails, again and again."""
    stage = _Stage(town, "broken_release")
    build = town.populace.popular()
    for person, device in stage.some(1.0, app=True):
        if device.software is build and stage.rng.random() < 0.6:
            stage.logged_in(person, device)
            stage.at(stage.rng.uniform(0, 240), _broken(stage, person, device, stage.line(person)))
    return stage.scripts


def _broken(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    services, rng = stage.town.services, stage.rng
    for _ in range(rng.randrange(6, 25)):
        call = request(person, device, line, rng.choice((services.record, services.transfer)), kind=stage.kind)
        call.obj = rng.choice(person.objects) if call.api is services.record else None
        if rng.random() < 0.7:
            call.sig = "bad"
        else:
            call.dec = "fail"
        yield call
        yield Pause(rng.uniform(1, 12))


def key_rotation(town: Town) -> Scripts:
    """Our own key change went wrong: a third of all apps use a key the gateway no longer knows, for three minutes."""
    stage = _Stage(town, "key_rotation")
    for person, device in stage.some(0.33, app=True):
        stage.logged_in(person, device)
        stage.at(stage.rng.uniform(0, 150), _old_key(stage, person, device, stage.line(person)))
    return stage.scripts


def _old_key(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    for _ in range(stage.rng.randrange(5, 15)):
        call = request(person, device, line, stage.town.services.transfer, kind=stage.kind)
        call.sig, call.dec = stage.rng.choice((("unknown_key", "ok"), ("ok", "fail"), ("ok", "old_version")))
        yield call
        yield Pause(stage.rng.uniform(2, 10))


def flash_sale(town: Town) -> Scripts:
    """A sale begins: a third of everybody looks through the catalogue as fast as they can."""
    stage = _Stage(town, "flash_sale")
    for person, device in stage.some(0.33):
        stage.logged_in(person, device)
        stage.at(stage.rng.uniform(0, 120), _bargain(stage, person, device, stage.line(person)))
    return stage.scripts


def _bargain(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    services, rng = stage.town.services, stage.rng
    for _ in range(rng.randrange(15, 60)):
        api = services.item if rng.random() < 0.7 else services.listing
        obj = rng.randrange(1, 400) if api is services.item else None
        yield request(person, device, line, api, kind=stage.kind, obj=obj)
        yield Pause(rng.uniform(0.4, 4))


def travellers(town: Town) -> Scripts:
    """Some people are abroad: another country, a hotel's network, their own device; some pay something at once."""
    stage = _Stage(town, "travellers")
    for person, device in stage.some(0.03):
        hotel = town.plan.abroad(stage.rng.choice(("FR", "TH", "AU", "CA")))
        device.session = None
        stage.at(
            stage.rng.uniform(0, 300),
            visit(town, person, device, hotel, stage.rng, start_ms=stage.start_ms, kind=stage.kind),
        )
        stage.at(stage.rng.uniform(320, 400), _pay(stage, person, device, hotel))
    return stage.scripts


def _pay(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    if device.session is not None:
        yield request(person, device, line, stage.town.services.transfer, kind=stage.kind)


def power_users(town: Town) -> Scripts:
    """Accountants and assistants: a hundred of one's own things, one after the other, all in order."""
    stage = _Stage(town, "power_users")
    for person, device in stage.some(0.01):
        stage.logged_in(person, device)
        first = town.highest + stage.rng.randrange(1, 1_000) * 200
        person.objects = list(range(first, first + stage.rng.randrange(60, 120)))
        town.owners.update(dict.fromkeys(person.objects, person.id))
        stage.at(stage.rng.uniform(0, 100), _close_the_books(stage, person, device, stage.line(person)))
    return stage.scripts


def _close_the_books(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    for obj in stage.rng.sample(person.objects, len(person.objects)):
        yield request(person, device, line, stage.town.services.statement, kind=stage.kind, obj=obj)
        yield Pause(min(20.0, stage.rng.expovariate(0.5)) + 0.3)


def partner_batch(town: Town) -> Scripts:
    """The partner's monthly run: ten times a second, ids in order, with their certificate."""
    stage = _Stage(town, "partner_batch")
    stage.at(0, _batch(stage, count=2_000))
    return stage.scripts


def _batch(stage: _Stage, *, count: int) -> Script:
    town = stage.town
    for number in range(count):
        yield Call(
            api=town.services.batch,
            line=town.partner,
            software=town.populace.software[-2],
            truth=Truth(kind=stage.kind, user="partner"),
            san="batch.partner.example",
            user="partner",
            user_v=True,
            obj=town.lowest + number,
        )
        yield Pause(0.1)


def new_phones(town: Town) -> Scripts:
    """The new model is out: many people log in on a new telephone, all with the same popular build, some with slips."""
    stage = _Stage(town, "new_phones")
    for number, (person, _) in enumerate(stage.some(0.06)):
        device = town.new_device(number, now_ms=stage.start_ms)
        slips = stage.rng.choice((0, 0, 0, 1, 1, 2))
        line = person.home if stage.rng.random() < 0.6 else person.mobile
        stage.at(stage.rng.uniform(0, 400), _new_phone(stage, person, device, line, slips))
    return stage.scripts


def _new_phone(stage: _Stage, person: Person, device: Device, line: Line, slips: int) -> Script:
    if (yield from log_in(stage.town, person, device, line, stage.rng, kind=stage.kind, slips=slips)):
        yield request(person, device, line, stage.town.services.enrol, kind=stage.kind)
        yield from look_around(stage.town, person, device, line, stage.rng, kind=stage.kind, steps=8)


def forgetful(town: Town) -> Scripts:
    """People who try every password they ever had, then ask for a new one."""
    stage = _Stage(town, "forgetful")
    for person, device in stage.some(0.02):
        stage.at(stage.rng.uniform(0, 300), _try_everything(stage, person, device, stage.line(person)))
    return stage.scripts


def _try_everything(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    town, rng = stage.town, stage.rng
    for number in range(rng.randrange(4, 9)):
        yield log_in_call(town, person, device, line, f"was-it-{number}", kind=stage.kind)
        yield Pause(rng.uniform(5, 25))
    yield Call(
        api=town.services.forgot,
        line=line,
        software=device.software,
        truth=Truth(kind=stage.kind, user=person.id),
        acct=person.account,
    ).from_device(device)
    yield Pause(rng.uniform(40, 90))
    person.old_secret, person.secret = person.secret, f"fresh-{person.id}"
    yield from _arrive(stage, person, device, line, 0)


def everyone_again(town: Town) -> Scripts:
    """Sessions were lost in an outage: half of everybody logs in again within three minutes."""
    stage = _Stage(town, "everyone_again")
    for person, device in stage.some(0.5):
        slips = int(stage.rng.random() < 0.08)
        stage.at(stage.rng.uniform(0, 180), _arrive(stage, person, device, stage.line(person), slips))
    return stage.scripts


def school_sign_up(town: Town) -> Scripts:
    """A class signs up together on the school's network."""
    stage = _Stage(town, "school_sign_up")
    school = town.plan.public_place()
    for number, (person, device) in enumerate(stage.some(0.05)[:30]):
        stage.at(
            stage.rng.uniform(-110, 0) if number % 2 else 0,
            visit(town, person, device, school, stage.rng, start_ms=stage.start_ms, kind=stage.kind),
        )
        stage.at(stage.rng.uniform(20, 300), _sign_up(stage, person, device, school))
    return stage.scripts


def _sign_up(stage: _Stage, person: Person, device: Device, line: Line) -> Script:
    yield Call(
        api=stage.town.services.sign_up,
        line=line,
        software=device.software,
        truth=Truth(kind=stage.kind, user=person.id),
        acct=f"new-{person.account}",
    ).from_device(device)
