"""`OidcSession`: staff who signed in with a browser, and what the tool behind is told of them.

The session is looked up for every request, so that a log-out, an expiry or a block is in force with the next one. A
page is sent to sign in; anything else gets 401. Changes, upgrades and event streams are accepted from the tool's own
pages and the listed origins only. The tool never sees the gateway's cookies nor anybody else's word for who is calling.
Fail closed: no session, no call; a store that does not answer is 503 and signs nobody out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from haetae_edge.config.values import ArgumentError, Duration
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Fields, Response, Send
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.request import Request
from haetae_edge.services import required
from haetae_edge.staff.cookies import foreign_cookies, set_session, without_our_cookies
from haetae_edge.staff.gate import StaffGate, login_required
from haetae_edge.staff.navigation import is_socket, wants_events
from haetae_edge.staff.origins import check_origin, parse_web_origin, without_leave
from haetae_edge.staff.ports import Session
from haetae_edge.staff.present import Presenter, login_path, return_to
from haetae_edge.staff.presets import (
    PRESETS,
    Identity,
    IdleExempt,
    NameFrom,
    NameUnusable,
    Preset,
    is_stripped,
    log_in_name,
)
from haetae_edge.staff.requirement import Requirement

_SESSION: Final = "staff.session"
_TICKET: Final = "staff.ticket"
_STEP_UP: Final = "staff.step-up"
_PASSPORT: Final = b"x-passport"


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSession:
    """Arguments of the filter.

    `groups`: any one; `claims`: of each name one of the values; `acr` and `max_auth_age` lead to a new sign-in where
    the session has none that is strong or fresh enough. `allowed_origins` may call with credentials and read refusals.
    `idle_exempt` adds to the preset's. `identity` and `name_from` say what the tool is told. `title` puts the tool on
    the landing page.
    """

    preset: str = "generic"
    groups: tuple[str, ...] = ()
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    acr: tuple[str, ...] = ()
    max_auth_age: Duration | None = None
    allowed_origins: tuple[str, ...] = ()
    idle_exempt: tuple[IdleExempt, ...] = ()
    identity: Identity | None = None
    name_from: NameFrom = "username"
    title: str | None = None
    description: str = ""

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ("preset", "groups")

    def __post_init__(self) -> None:
        preset = PRESETS.get(self.preset)
        if preset is None:
            raise ArgumentError("preset", f"is one of {', '.join(PRESETS)}")
        if self.identity == "assertion" and preset.assertion is None:
            raise ArgumentError("identity", f"`assertion` is nothing that {preset.name} can verify: write `headers`")
        if self.max_auth_age is not None and not 1 <= self.max_auth_age <= 86_400:
            raise ArgumentError("max_auth_age", "is from 1s to 1d")
        if any(not values for values in self.claims.values()):
            raise ArgumentError("claims", "every claim has at least one value")
        for origin in self.allowed_origins:
            try:
                known = parse_web_origin(origin)
            except ValueError as error:
                raise ArgumentError("allowed_origins", str(error)) from None
            if known != origin:
                raise ArgumentError("allowed_origins", f"write `{known}`, as browsers do")

    @property
    def requirement(self) -> Requirement:
        """What a session must have."""
        return Requirement(
            groups=frozenset(self.groups),
            claims={name: frozenset(values) for name, values in self.claims.items()},
            acr=self.acr,
            max_auth_age=int(self.max_auth_age) if self.max_auth_age is not None else None,
        )

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        door = _Door(self, required(context.services.staff, "OidcSession", "oidc"), route=context.route_id)
        return Steps(
            request=(
                (Phase.AUTHENTICATE, door.authenticate),
                (Phase.AUTHORIZE, door.authorize),
                (Phase.INJECT, door.tell),
            ),
            around=door.assert_identity if door.asserts else None,
            response=door.answer,
        )


class _Door:
    """The filter of one route."""

    def __init__(self, arguments: OidcSession, gate: StaffGate, *, route: str) -> None:
        self._gate = gate
        self._route = route
        self._preset: Preset = PRESETS[arguments.preset]
        self._requirement = arguments.requirement
        self._identity = arguments.identity or self._preset.identity
        self._name_from = arguments.name_from
        self._allowed = frozenset(arguments.allowed_origins)
        self._exempt = [item.build() for item in (*self._preset.idle_exempt, *arguments.idle_exempt)]
        self._no_return = self._preset.is_no_return()
        self._is_api = self._preset.is_api()
        self._presenter = Presenter(random_bytes=gate.random_bytes, allowed=self._allowed, is_api=self._is_api)
        self.asserts = self._identity == "assertion"

    async def authenticate(self, exchange: Exchange) -> None:
        """Who is signed in, in this browser?"""
        request = exchange.request
        self._clean(exchange)
        check_origin(request, own=self._gate.origin(request), allowed=self._allowed)
        try:
            loaded = await self._gate.load(request, activity=self._is_activity(request))
        except Refusal as refusal:
            await self._calm(request, refusal)
            raise
        session = loaded.session
        caller = exchange.caller
        caller.user, caller.session, caller.groups = session.subject, session.id, session.groups
        caller.profile = _profile(session)
        caller.auth = (*caller.auth, "session")
        exchange.state[_SESSION] = session
        if loaded.new_ticket is not None:
            exchange.state[_TICKET] = loaded.new_ticket

    def authorize(self, exchange: Exchange) -> None:
        """May this person open this tool, with the sign-in they have?"""
        session: Session = exchange.state[_SESSION]
        lacking = self._requirement.missing(session)
        if lacking is not None:
            raise Refusal("not-permitted", reason=lacking)
        outdated = self._requirement.outdated(session, self._gate.clock())
        if outdated is not None:
            exchange.state[_STEP_UP] = True
            raise login_required(outdated)

    def tell(self, exchange: Exchange) -> None:
        """What the tool is told: its plain fields, or nothing here."""
        exchange.host = exchange.request.authority.value.encode("ascii")
        if self._identity != "headers":
            return
        session: Session = exchange.state[_SESSION]
        try:
            fields = self._preset.headers(session, log_in_name(session, self._name_from))
        except NameUnusable:
            raise Refusal("not-permitted", reason="name-unusable") from None
        exchange.fields += fields

    def assert_identity(self, send: Send) -> Send:
        """Put the Passport where the tool looks for it, after every step that makes it. Fail closed without one."""
        field_name, before = self._preset.assertion or (_PASSPORT, b"")

        async def send_with_assertion(exchange: Exchange) -> Response:
            passport = next((value for name, value in exchange.fields if name == _PASSPORT), None)
            if passport is None:
                raise Refusal("identity-unavailable", reason="no-passport")
            if field_name != _PASSPORT:
                exchange.set_field(field_name, before + passport)
            return await send(exchange)

        return send_with_assertion

    def answer(self, exchange: Exchange, response: Response) -> None:
        """The way out: no cookie of our names from the tool, the new ticket, the form of refusals."""
        if response.problem is None:
            request, fields = exchange.request, without_our_cookies(response.fields)
            response.fields = without_leave(fields, request, own=self._gate.origin(request), allowed=self._allowed)
        else:
            origin = self._gate.origins.get(exchange.request.authority.value)
            step_up = self._route if exchange.state.get(_STEP_UP) else None
            login = login_path(return_to(exchange, never=self._no_return), route=step_up)
            self._presenter.present(exchange, response, login=login, origin=origin)
        ticket = exchange.state.get(_TICKET)
        if ticket is not None:
            response.fields.append(set_session(ticket))

    def _clean(self, exchange: Exchange) -> None:
        """Take out our cookies and every field by which others could speak for the gateway."""
        kept: Fields = [pair for pair in exchange.fields if pair[0] != b"cookie" and not is_stripped(pair[0])]
        cookies = foreign_cookies(exchange.request.values.get(b"cookie", ()))
        if cookies is not None:
            kept.append((b"cookie", cookies))
        exchange.fields = kept

    def _is_activity(self, request: Request) -> bool:
        """Whether a person is behind it. What reconnects by itself never is."""
        if is_socket(request) or wants_events(request):
            return False
        return not any(test(request) for test in self._exempt)

    async def _calm(self, request: Request, refusal: Refusal) -> None:
        """Let a front end that reconnects at once wait for its refusal."""
        if not self._preset.calm_upgrades or not is_socket(request):
            return
        if not await self._gate.sign_in.calm():
            raise Refusal("throttled", reason="upgrades") from refusal


def _profile(session: Session) -> Mapping[str, object]:
    """What a Passport says of somebody from a session."""
    known: dict[str, object] = {
        "name": session.name,
        "email": session.email,
        "username": session.username,
        "acr": session.acr,
        "auth_time": session.auth_time,
    }
    return {"id": session.subject, "groups": sorted(session.groups)} | {
        name: value for name, value in known.items() if value is not None
    }
