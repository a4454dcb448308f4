"""One machine cannot fill the store with sign-ins that nobody finishes."""

from __future__ import annotations

import pytest
from haetae_edge.address import AddressReader
from haetae_edge.errors import Refusal
from haetae_edge.request import RawRequest, Request, normalise
from haetae_edge.staff.logins import PER_ADDRESS, LoginRates
from haetae_policy import Rate

from tests.edge.staff.staff_office import PAGE, staff_world


def request_from(peer: str) -> Request:
    raw = RawRequest("GET", "/.haetae/login", (1, 1), [(b"Host", b"tool.test")], False)
    return normalise(raw, scheme="https", peer=peer, addresses=AddressReader(()), received=0.0)


def begin_all(rates: LoginRates, *peers: str, now: float = 1000.0) -> None:
    """As many sign-ins as one address may begin, from these in turn."""
    for count in range(PER_ADDRESS.limit):
        rates.take(request_from(peers[count % len(peers)]), now=now)


@pytest.mark.parametrize(
    "peers", [("192.0.2.1",), ("2001:db8::1", "2001:db8::ffff:2"), ("192.0.2.1", "::ffff:192.0.2.1")]
)
def test_address_that_begins_sign_ins_without_end_is_throttled_in_whatever_spelling(peers: tuple[str, ...]) -> None:
    rates = LoginRates()
    begin_all(rates, *peers)
    for peer in peers:
        with pytest.raises(Refusal) as caught:
            rates.take(request_from(peer), now=1000.0)
        assert caught.value.problem == "throttled"
        assert caught.value.headers == ((b"retry-after", b"1"),)


def test_others_are_let_in_meanwhile_and_the_address_itself_a_little_later() -> None:
    rates = LoginRates()
    begin_all(rates, "192.0.2.1")
    rates.take(request_from("192.0.2.2"), now=1000.0)
    rates.take(request_from("192.0.2.1"), now=1001.0)


async def test_throttled_sign_in_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haetae_edge.staff.logins.PER_ADDRESS", Rate(limit=3, per_seconds=3600))
    async with staff_world() as staff:
        statuses = [(await staff.ask(b"GET /.haetae/login?to=/x", PAGE)).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert len(staff.office.begun) == 3
