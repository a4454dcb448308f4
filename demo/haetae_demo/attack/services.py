"""The services behind the gateway of the simulated world: APIs with templates, item counts and what they protect.

The names are drawn from the seed. Does not answer calls (`town`).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_BUSINESSES: Final = {
    "account": ("accounts", "transactions", "transfers"),
    "order": ("orders", "invoices", "payouts"),
    "policy": ("contracts", "claims", "withdrawals"),
    "wallet": ("wallets", "movements", "remittances"),
}
_PREFIXES: Final = ("/api/v1", "/api/v3", "/v2", "/app")
_SYLLABLES: Final = ("ka", "ru", "mo", "ti", "zen", "po", "lu", "shi", "va", "dor", "ne", "qu", "bi", "hal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API. `items` is how many items an answer usually has; `envelope` says that requests are signed and sealed;
    `leaky` that it forgets to check whose object it is.
    """

    route: str
    method: str
    template: str
    items: int = 1
    latency_ms: float = 20.0
    size: int = 900
    envelope: bool = False
    leaky: bool = False
    public: bool = False

    @property
    def name(self) -> str:
        """The event's `api`: method and template."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that can be called. `sensitive` and `decoys` are route names an operator would configure."""

    gateway: str
    log_in: Api
    sign_up: Api
    forgot: Api
    feed: Api
    listing: Api
    item: Api
    record: Api
    statement: Api
    transfer: Api
    password: Api
    enrol: Api
    health: Api
    batch: Api
    decoy: Api

    @property
    def sensitive(self) -> tuple[Api, ...]:
        """APIs that move money or change who can log in."""
        return (self.transfer, self.password, self.enrol)


def draw_services(rng: Random, *, wild: bool) -> Services:
    """Name and size the services of one world."""
    prefix = rng.choice(_PREFIXES)
    if wild:
        words = ["".join(rng.sample(_SYLLABLES, 3)) for _ in range(16)]
        thing, entry, money = words[:3]
        doors = words[3:]
    else:
        thing, entry, money = _BUSINESSES[rng.choice(sorted(_BUSINESSES))]
        doors = ["login", "signup", "forgot", "feed", "products", "password", "devices", "health", "batch", "debug"]
        if rng.random() < 0.5:
            doors[:3] = ["sessions", "members", "reset"]

    def api(route: str, method: str, tail: str, **more: object) -> Api:
        return Api(route=route, method=method, template=f"{prefix}/{tail}", **more)  # type: ignore[arg-type]

    public = rng.choice((20, 30, 50))
    return Services(
        gateway=rng.choice(("app", "web", "front", "gate")),
        log_in=api(doors[0], "POST", doors[0], latency_ms=120.0, envelope=True),
        sign_up=api(doors[1], "POST", doors[1], latency_ms=150.0),
        forgot=api(doors[2], "POST", doors[2], latency_ms=90.0),
        feed=api(doors[3], "GET", doors[3], items=rng.choice((8, 12, 20)), size=6_000, public=True),
        listing=api(doors[4], "GET", doors[4], items=public, size=12_000, public=True),
        item=api(f"{doors[4]}-item", "GET", f"{doors[4]}/{{id}}", size=2_500, public=True),
        record=api(thing, "GET", f"{thing}/{{id}}", items=1, leaky=True),
        statement=api(entry, "GET", f"{thing}/{{id}}/{entry}", items=rng.choice((10, 25)), size=5_000),
        transfer=api(money, "POST", money, latency_ms=80.0, envelope=True),
        password=api(doors[5], "PUT", f"me/{doors[5]}", latency_ms=70.0, envelope=True),
        enrol=api(doors[6], "POST", f"me/{doors[6]}", latency_ms=70.0, envelope=True),
        health=api(doors[7], "GET", doors[7], items=0, size=60, latency_ms=1.0, public=True),
        batch=api(doors[8], "GET", f"partner/{doors[8]}/{{id}}", items=rng.choice((1, 5)), size=1_500),
        decoy=api(doors[9], "GET", f"internal/{doors[9]}", public=True),
    )
