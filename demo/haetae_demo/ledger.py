"""A very small bank: accounts, transfers, idempotency.

Rules kept: amounts are integers in the currency's minor unit and money is neither made nor lost; a person
sees and debits only their own accounts; one Idempotency-Key (per person) moves money once, whatever is sent
again; every table is bounded. Time and transfer ids are arguments. Does not know who is calling: it is told
by its caller, which must have verified a Passport.
"""

import hashlib
from dataclasses import dataclass

from haetae_demo.errors import (
    CapacityReached,
    Conflict,
    IdempotencyKeyReused,
    InsufficientFunds,
    NotFound,
    RequestInvalid,
)
from haetae_demo.world import World

MAX_TRANSFERS = 100_000
MAX_AMOUNT = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as its owner sees it."""

    id: str
    owner: str
    name: str
    currency: str
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """What a person asks for: ``amount`` > 0 in minor units."""

    source: str
    target: str
    amount: int
    memo: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer that has been made. ``made_at`` in Unix seconds."""

    id: str
    by: str
    order: TransferOrder
    currency: str
    balance_after: int
    made_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The transfer, and whether this call moved the money or an earlier one with the same key did."""

    transfer: Transfer
    repeated: bool


class Ledger:
    """All accounts and transfers, in memory."""

    def __init__(self, world: World) -> None:
        self._accounts = {
            opening.id: Account(
                id=opening.id,
                owner=person.id,
                name=opening.name,
                currency=opening.currency,
                balance=opening.balance,
            )
            for person in world.people.values()
            for opening in person.accounts
        }
        self._transfers: dict[str, Transfer] = {}
        self._by_key: dict[tuple[str, bytes], tuple[TransferOrder, str]] = {}

    def accounts_of(self, owner: str) -> list[Account]:
        """The person's accounts, by id; empty for someone unknown."""
        return sorted(
            (account for account in self._accounts.values() if account.owner == owner),
            key=lambda account: account.id,
        )

    def account(self, owner: str, account_id: str) -> Account:
        """One account.

        Raises:
            NotFound: no such account, or not this person's (the answer is the same).
        """
        account = self._accounts.get(account_id)
        if account is None or account.owner != owner:
            raise NotFound("there is no such account")
        return account

    def transfer_of(self, owner: str, transfer_id: str) -> Transfer:
        """A transfer this person ordered.

        Raises:
            NotFound: no such transfer, or somebody else's.
        """
        transfer = self._transfers.get(transfer_id)
        if transfer is None or transfer.by != owner:
            raise NotFound("there is no such transfer")
        return transfer

    def total(self) -> int:
        """All money in the bank; transfers never change it."""
        return sum(account.balance for account in self._accounts.values())

    def transfer(self, owner: str, order: TransferOrder, *, key: str, transfer_id: str, now: float) -> Receipt:
        """Move money once per ``key``.

        Args:
            owner: who asks, from the verified Passport.
            order: what they ask for.
            key: their Idempotency-Key; scoped to the person.
            transfer_id: a fresh unique id, used only if money moves.
            now: Unix seconds.

        Raises:
            IdempotencyKeyReused: the key was used with another order.
            NotFound: an account does not exist, or the source is not the person's.
            RequestInvalid: amount out of range, or source and target are one account.
            Conflict: the accounts are in different currencies.
            InsufficientFunds: the source holds less than the amount.
            CapacityReached: the transfer table is full.
        """
        claim = (owner, hashlib.sha256(key.encode()).digest())
        known = self._by_key.get(claim)
        if known is not None:
            earlier, earlier_id = known
            if earlier != order:
                raise IdempotencyKeyReused("this Idempotency-Key was used for another transfer")
            return Receipt(transfer=self._transfers[earlier_id], repeated=True)
        source, target = self._parties(owner, order)
        if len(self._transfers) >= MAX_TRANSFERS:
            raise CapacityReached("the bank takes no more transfers")
        made = Transfer(
            id=transfer_id,
            by=owner,
            order=order,
            currency=source.currency,
            balance_after=source.balance - order.amount,
            made_at=int(now),
        )
        self._put(source, source.balance - order.amount)
        self._put(target, target.balance + order.amount)
        self._transfers[made.id] = made
        self._by_key[claim] = (order, made.id)
        return Receipt(transfer=made, repeated=False)

    def _parties(self, owner: str, order: TransferOrder) -> tuple[Account, Account]:
        if not 1 <= order.amount <= MAX_AMOUNT:
            raise RequestInvalid(f"amount: must be an integer from 1 to {MAX_AMOUNT}")
        source = self.account(owner, order.source)
        target = self._accounts.get(order.target)
        if target is None:
            raise NotFound("there is no such account to pay to")
        if source.id == target.id:
            raise RequestInvalid("from and to are the same account")
        if source.currency != target.currency:
            raise Conflict("the accounts are in different currencies")
        if source.balance < order.amount:
            raise InsufficientFunds("the account holds less than the amount")
        return source, target

    def _put(self, account: Account, balance: int) -> None:
        self._accounts[account.id] = Account(
            id=account.id,
            owner=account.owner,
            name=account.name,
            currency=account.currency,
            balance=balance,
        )
