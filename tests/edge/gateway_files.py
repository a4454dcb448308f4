"""Gateways, requests and exchanges for the tests of configuration, routing and filters."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from haetae_edge.address import AddressReader
from haetae_edge.config.compile import compile_gateway
from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Filter, Steps
from haetae_edge.profiles import Profile
from haetae_edge.request import RawRequest, Request, normalise
from haetae_edge.services import Services

PLAIN = {"plain": Profile(name="plain", purpose="tests", must=(), defaults=())}
GATEWAY = b"name: test\nprofile: plain\n"
HERE = Path("conf")


def load(
    routes: str = "",
    *,
    gateway: bytes = GATEWAY,
    environment: Mapping[str, str] | None = None,
    profiles: Mapping[str, Profile] = PLAIN,
) -> GatewayConfig:
    """A gateway from the text of its files; `conf/gateway.yaml` and `conf/routes/r.yaml` in messages."""
    files = {"gateway.yaml": gateway}
    if routes:
        files["routes/r.yaml"] = routes.encode()
    return compile_gateway(files, directory=HERE, environment=environment or {}, profiles=profiles)


def request(
    target: str = "/",
    *,
    method: str = "GET",
    host: str = "api.example.org",
    fields: tuple[tuple[bytes, bytes], ...] = (),
) -> Request:
    """The view of a request as the server makes it."""
    raw = RawRequest(
        method=method,
        target=target,
        version=(1, 1),
        fields=((b"Host", host.encode()), *fields),
        chunked=False,
    )
    return normalise(raw, scheme="http", peer="192.0.2.7", addresses=AddressReader(()), received=1.0)


def exchange(target: str = "/", *, fields: tuple[tuple[bytes, bytes], ...] = ()) -> Exchange:
    """An exchange at the point where filters start."""
    made = Exchange(request=request(target, fields=fields), body=None)
    made.begin_forwarding()
    return made


def build(filter_: Filter, *, seed: int = 1) -> Steps:
    """A filter compiled for a route; randomness comes from a seeded generator."""
    services = Services(clock=lambda: 1.0, random_bytes=random.Random(seed).randbytes)
    context = BuildContext(gateway="test", route_id="r", upstream="upstream", services=services)
    return filter_.build(context)


def run(filter_: Filter, on: Exchange) -> Exchange:
    """Run the request steps of a filter that needs nothing to wait for."""
    for _, step in build(filter_).request:
        assert step(on) is None
    return on


def answer(filter_: Filter, on: Exchange, *fields: tuple[bytes, bytes]) -> Response:
    """Run the response step of a filter on an answer with these fields."""
    response = Response(status=200, fields=list(fields), body=b"")
    step = build(filter_).response
    assert step is not None
    step(on, response)
    return response
