"""`Block`: enforces block policies, twice: by address and API before any work, by identity once it is proven.

A third time where a service reports log-ins: which account was tried, and with which secret, is known only from its
answer, which is then withheld, whatever it says. Who guesses learns nothing from it. Where only more proof is asked
for, a second factor that was right is that proof; elsewhere, a token from a stronger sign-in after the policy was made
(RFC 9470).

Everything is in memory; nothing is asked while a request waits. With the feed down, what is known stays in force until
it expires; a worker that never knew the policies refuses. Only verified identities are subjects: a forged device id
cannot get its owner blocked. What machines may refuse is bounded here once more (`blast_radius`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from haetae_fds import AuthOutcome
from haetae_policy import Action, ApiFacts, Facts, Verdict
from haetae_policy.identifiers import made_at_ms
from haetae_policy.model import RANK

from haetae_edge.auth_report import NOTHING, AuthReport
from haetae_edge.blast_radius import CHALLENGE_COST
from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Caller, Exchange, Response, Send
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.fingerprint import Fingerprints
from haetae_edge.services import Policies, required

_ESTABLISHED_SECONDS = 86_400
_COSTS = {Action.BLOCK: 1.0, Action.CHALLENGE: CHALLENGE_COST}
#: Step-up authentication challenge (RFC 9470 section 3).
_STEP_UP = 'Bearer error="insufficient_user_authentication"'
_ACR = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Which policies there are is not a route's business.

    `on_not_loaded`: what happens while this worker has never loaded the policies, because the store was away when it
    started. `allow` lets the request pass unchecked. `step_up`: a challenge is passed by an access token whose `acr` is
    one of these and whose `auth_time` is after the policy was made; without any, a challenge lasts until it ends.
    """

    on_not_loaded: Literal["refuse", "allow"] = "refuse"
    step_up: tuple[str, ...] = ()

    phase: ClassVar[Phase] = Phase.EARLY_BLOCK
    shortcut: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not all(_ACR.fullmatch(acr) for acr in self.step_up):
            raise ArgumentError("step_up", "is a list of `acr` values, without spaces and quotes")

    def build(self, context: BuildContext) -> Steps:
        """Compile for one route."""
        enforcer = _Enforcer(
            required(context.services.policies, "Block", "redis"),
            context.services.clock,
            context.services.fingerprints,
            gateway=context.gateway,
            route=context.route_id,
            needs_policies=self.on_not_loaded == "refuse",
            step_up=self.step_up,
        )
        return Steps(
            request=((Phase.EARLY_BLOCK, enforcer.early), (Phase.LATE_BLOCK, enforcer.late)),
            around=enforcer.around if context.auth_events else None,
        )


class _Enforcer:
    def __init__(
        self,
        policies: Policies,
        clock: Callable[[], float],
        prints: Fingerprints | None,
        *,
        gateway: str,
        route: str,
        needs_policies: bool,
        step_up: tuple[str, ...],
    ) -> None:
        self._policies = policies
        self._clock = clock
        self._prints = prints
        self._gateway = gateway
        self._route = route
        self._needs_policies = needs_policies
        self._step_up = step_up

    def early(self, exchange: Exchange) -> None:
        """Refuse by address and API, before any work is spent."""
        if self._needs_policies and not self._policies.loaded:
            raise Refusal("policies-unavailable", reason="policies-not-loaded")
        now_ms = int(self._clock() * 1000)
        request = exchange.request
        verdict = self._policies.check_early(request.client.key, self._api(exchange), now_ms)
        if verdict is not None:
            self._enforce(exchange, verdict, now_ms)

    def late(self, exchange: Exchange) -> None:
        """Refuse by everything that is proven about the caller, and by what kind of client it is."""
        if self._prints is not None and exchange.caller.client is None:
            exchange.caller.client = self._prints.client(exchange.request)
        self._judge(exchange)
        exchange.still_allowed = self._still_allowed

    def around(self, send: Send) -> Send:
        """Withhold the answer of a log-in that policies for its account or its secret refuse."""

        async def judged(exchange: Exchange) -> Response:
            response = await send(exchange)
            report = exchange.facts.report
            if report is not None and (report.account is not None or report.secret is not None):
                try:
                    self._judge(exchange, report)
                except Refusal:
                    if not isinstance(response.body, bytes):
                        response.body.abort()
                    if response.tunnel is not None:
                        response.tunnel.close()
                    raise
            return response

        return judged

    def _judge(self, exchange: Exchange, report: AuthReport = NOTHING) -> None:
        observed: list[Verdict] = []
        now_ms = int(self._clock() * 1000)
        verdict = self._verdict(exchange, now_ms, observed, report)
        if observed:
            exchange.facts.observed = tuple(dict.fromkeys(entry.policy_id for entry in observed))
        if verdict is None:
            return
        if report.outcome == AuthOutcome.MFA_OK and verdict.action is Action.CHALLENGE:
            return
        if self._is_proven(exchange.caller, verdict):
            facts = exchange.facts
            facts.policy, facts.policy_action, facts.policy_why = verdict.policy_id, verdict.action.value, verdict.why
            return
        self._enforce(exchange, verdict, now_ms)

    def _still_allowed(self, exchange: Exchange) -> bool:
        verdict = self._verdict(exchange, int(self._clock() * 1000), [])
        if verdict is None or self._is_proven(exchange.caller, verdict):
            return True
        return verdict.action not in (Action.BLOCK, Action.CHALLENGE)

    def _is_proven(self, caller: Caller, verdict: Verdict) -> bool:
        """Whether the caller has signed in as a challenge asks for, after it was made (RFC 9470 section 4)."""
        claims = caller.claims
        if verdict.action is not Action.CHALLENGE or not self._step_up or claims is None:
            return False
        signed_in = claims.get("auth_time")
        if claims.get("acr") not in self._step_up or type(signed_in) is not int:
            return False
        return signed_in * 1000 >= made_at_ms(verdict.pid)

    def _verdict(
        self, exchange: Exchange, now_ms: int, observed: list[Verdict], report: AuthReport = NOTHING
    ) -> Verdict | None:
        """The strictest word, people's alone where machines have refused too many callers already."""
        caller = exchange.caller
        name = caller.user or caller.owner or caller.device or caller.service
        verdict = self._strictest(exchange, now_ms, observed, report)
        if name is None or not self._is_established(caller):
            return verdict
        radius = self._policies.radius
        radius.note(name, now_ms)
        cost = _COSTS.get(verdict.action) if verdict is not None and verdict.machine else None
        if verdict is None or cost is None:
            return verdict
        if radius.allows(name, cost=cost, made_ms=made_at_ms(verdict.pid), now_ms=now_ms):
            return verdict
        observed.clear()
        return self._strictest(exchange, now_ms, observed, report, machines=False)

    def _strictest(
        self,
        exchange: Exchange,
        now_ms: int,
        observed: list[Verdict],
        report: AuthReport,
        *,
        machines: bool = True,
    ) -> Verdict | None:
        """Who shows a token beside a certificate is two clients, and policies may name either."""
        caller = exchange.caller
        verdict = self._verdict_on(exchange, caller.client, now_ms, observed, report, machines=machines)
        if caller.service is None or caller.service == caller.client:
            return verdict
        other = self._verdict_on(exchange, caller.service, now_ms, observed, report, machines=machines)
        return _strictest(verdict, other)

    def _verdict_on(
        self,
        exchange: Exchange,
        client: str | None,
        now_ms: int,
        observed: list[Verdict],
        report: AuthReport,
        *,
        machines: bool,
    ) -> Verdict | None:
        caller = exchange.caller
        facts = Facts(
            session=caller.session,
            device=caller.device,
            user=caller.user or caller.owner,
            account=report.account,
            pw_fp=report.secret,
            client=client,
            ip=exchange.request.client.key,
            trusted=self._is_established(caller),
        )
        return self._policies.check(facts, self._api(exchange), now_ms, observed=observed, machines=machines)

    def _is_established(self, caller: Caller) -> bool:
        """Whether policies for strangers pass this caller by.

        Anybody can enrol a device of his own: one that is new is a stranger's, whoever signs in on it.
        """
        record = caller.device_record
        age = record.age(self._clock()) if record is not None else None
        if age is not None and age < _ESTABLISHED_SECONDS:
            return False
        return caller.device is not None or caller.user is not None or caller.service is not None

    def _api(self, exchange: Exchange) -> ApiFacts:
        request = exchange.request
        return ApiFacts(self._gateway, self._route, request.method, request.path)

    def _empty_throttle(self, exchange: Exchange, verdict: Verdict, now_ms: int) -> Verdict | None:
        """Take a token of every throttle that applies; return one that has none.

        The same policy may speak twice, early and late: one request takes one token. The strictest is asked first, so
        that what it refuses does not use up the others.
        """
        facts = exchange.facts
        for throttle in sorted((verdict, *verdict.also), key=_strictness) if verdict.also else (verdict,):
            if throttle.pid in facts.throttles:
                continue
            if not self._policies.within_rate(throttle, now_ms):
                return throttle
            facts.throttles |= {throttle.pid}
        return None

    def _enforce(self, exchange: Exchange, verdict: Verdict, now_ms: int) -> None:
        facts = exchange.facts
        if verdict.action is Action.THROTTLE:
            empty = self._empty_throttle(exchange, verdict, now_ms)
            if empty is None:
                return
            verdict = empty
        facts.policy, facts.policy_action, facts.policy_why = verdict.policy_id, verdict.action.value, verdict.why
        if verdict.action is Action.THROTTLE:
            raise Refusal("throttled", reason="policy-throttle")
        if verdict.action is Action.CHALLENGE:
            raise Refusal("challenge", reason="policy-challenge", headers=(self._challenge(verdict, now_ms),))
        raise Refusal(
            "blocked",
            reason="policy-block",
            headers=((b"retry-after", b"%d" % verdict.retry_after_s(now_ms)),),
        )

    def _challenge(self, verdict: Verdict, now_ms: int) -> tuple[bytes, bytes]:
        """What sign-in is asked for: how strong, and how many seconds ago at most."""
        value = _STEP_UP
        if self._step_up:
            since = max(0, now_ms - made_at_ms(verdict.pid)) // 1000
            value += f', acr_values="{" ".join(self._step_up)}", max_age="{since}"'
        return b"www-authenticate", value.encode("ascii")


def _strictest(one: Verdict | None, other: Verdict | None) -> Verdict | None:
    """Of two words on one request the stricter; of two throttles, both."""
    if one is None or other is None:
        return one or other
    if one.action is Action.THROTTLE and other.action is Action.THROTTLE:
        return one._replace(also=(*one.also, other, *other.also))
    return other if RANK[other.action] > RANK[one.action] else one


def _strictness(throttle: Verdict) -> float:
    rate = throttle.rate
    return 0.0 if rate is None else rate.limit / rate.per_seconds
