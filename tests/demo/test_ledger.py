"""The bank's books: money is conserved, moves once per key, and only its owner moves it."""

import contextlib

import pytest
from haetae_demo.errors import IdempotencyKeyReused, InsufficientFunds, NotFound, RequestInvalid
from haetae_demo.ledger import Ledger, TransferOrder
from haetae_demo.world import packaged_world
from hypothesis import given
from hypothesis import strategies as st

MINA, JOON = "u-1001", "u-1002"
EVERYDAY, SAVINGS, JOONS = "110-204-0001", "110-204-0002", "110-204-0003"


def order(amount: int, *, source: str = EVERYDAY, target: str = JOONS) -> TransferOrder:
    return TransferOrder(source=source, target=target, amount=amount)


def test_transfer_moves_the_amount_from_one_account_to_the_other() -> None:
    ledger = Ledger(packaged_world())
    receipt = ledger.transfer(MINA, order(50_000), key="k", transfer_id="t1", now=100.9)
    assert not receipt.repeated
    assert receipt.transfer.made_at == 100
    assert ledger.account(MINA, EVERYDAY).balance == 1_200_000
    assert ledger.account(JOON, JOONS).balance == 360_000
    assert ledger.transfer_of(MINA, "t1") == receipt.transfer


def test_same_idempotency_key_moves_money_once() -> None:
    ledger = Ledger(packaged_world())
    first = ledger.transfer(MINA, order(10), key="k", transfer_id="t1", now=1)
    again = ledger.transfer(MINA, order(10), key="k", transfer_id="t2", now=2)
    assert again.repeated
    assert again.transfer == first.transfer
    assert ledger.account(MINA, EVERYDAY).balance == 1_249_990


def test_same_idempotency_key_with_another_amount_is_refused() -> None:
    ledger = Ledger(packaged_world())
    ledger.transfer(MINA, order(10), key="k", transfer_id="t1", now=1)
    with pytest.raises(IdempotencyKeyReused):
        ledger.transfer(MINA, order(11), key="k", transfer_id="t2", now=2)


def test_idempotency_keys_of_two_people_do_not_meet() -> None:
    ledger = Ledger(packaged_world())
    ledger.transfer(MINA, order(10), key="k", transfer_id="t1", now=1)
    back = order(10, source=JOONS, target=EVERYDAY)
    assert not ledger.transfer(JOON, back, key="k", transfer_id="t2", now=2).repeated


def test_nobody_debits_or_sees_somebody_elses_account() -> None:
    ledger = Ledger(packaged_world())
    with pytest.raises(NotFound):
        ledger.transfer(JOON, order(1), key="k", transfer_id="t1", now=1)
    with pytest.raises(NotFound):
        ledger.account(JOON, EVERYDAY)
    assert [account.id for account in ledger.accounts_of(JOON)] == [JOONS]
    ledger.transfer(MINA, order(1), key="k", transfer_id="t1", now=1)
    with pytest.raises(NotFound):
        ledger.transfer_of(JOON, "t1")


@pytest.mark.parametrize("amount", [0, -1, 10**12 + 1])
def test_amount_out_of_range_is_refused(amount: int) -> None:
    ledger = Ledger(packaged_world())
    with pytest.raises(RequestInvalid):
        ledger.transfer(MINA, order(amount), key="k", transfer_id="t1", now=1)


def test_overdraft_is_refused_and_the_key_stays_free() -> None:
    ledger = Ledger(packaged_world())
    with pytest.raises(InsufficientFunds):
        ledger.transfer(MINA, order(1_250_001), key="k", transfer_id="t1", now=1)
    assert not ledger.transfer(MINA, order(1), key="k", transfer_id="t1", now=1).repeated


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from([MINA, JOON, "u-9"]),
            st.sampled_from([EVERYDAY, SAVINGS, JOONS, "x"]),
            st.sampled_from([EVERYDAY, SAVINGS, JOONS, "x"]),
            st.integers(min_value=-5, max_value=2_000_000),
            st.sampled_from(["a", "b", "c", "d"]),
        ),
        max_size=30,
    )
)
def test_money_is_conserved_and_no_account_goes_negative_whatever_is_tried(
    moves: list[tuple[str, str, str, int, str]],
) -> None:
    ledger = Ledger(packaged_world())
    before = ledger.total()
    for number, (who, source, target, amount, key) in enumerate(moves):
        asked = order(amount, source=source, target=target)
        with contextlib.suppress(NotFound, RequestInvalid, InsufficientFunds, IdempotencyKeyReused):
            ledger.transfer(who, asked, key=key, transfer_id=f"t{number}", now=1)
        assert ledger.total() == before
        assert all(account.balance >= 0 for who in (MINA, JOON) for account in ledger.accounts_of(who))
