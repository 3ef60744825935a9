"""Decides and signs: role, nonce, limit; then the journal, on disk; then the signature."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from node.core.ports import Clock
from node.core.ports.chain import SignedTransaction, Signer, UnsignedTransaction
from node.core.signing import SigningPolicy, is_noop, paid_units
from node.core.units import Address
from node.signer.journal import NOOP, Journal, SigningRefused, content_digest

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One key of this process.

    Attributes:
        units_per_day: Token units it may pay out in a day.
    """

    signer: Signer
    policy: SigningPolicy
    journal: Journal
    units_per_day: int


class SigningDesk:
    """All keys of this process."""

    def __init__(self, keys: Sequence[HeldKey], clock: Clock) -> None:
        self._keys = {each.signer.address: each for each in keys}
        self._clock = clock

    @property
    def addresses(self) -> Sequence[Address]:
        """Whose transactions are signed here."""
        return list(self._keys)

    async def sign(self, sender: Address, transaction: UnsignedTransaction) -> SignedTransaction:
        """Sign what the rules allow.

        Raises:
            SigningRefused: One does not; says which.
        """
        key = self._keys.get(sender)
        if key is None:
            raise SigningRefused(f"the key of 0x{sender.hex()} is not held here")
        try:
            self._admit(key, transaction)
        except SigningRefused as refused:
            _log.warning(
                "refused", sender=f"0x{sender.hex()}", nonce=transaction.nonce, rule=str(refused)
            )
            raise
        signed = await key.signer.sign(transaction)
        _log.info(
            "signed",
            sender=f"0x{sender.hex()}",
            nonce=transaction.nonce,
            tx_hash=f"0x{signed.hash.hex()}",
        )
        return signed

    def _admit(self, key: HeldKey, transaction: UnsignedTransaction) -> None:
        """Check every rule, and have the journal on disk before anything is signed.

        In one go, without giving way to another request: two of them could each find room for
        what both together have none for.
        """
        refusal = key.policy.refusal(transaction)
        if refusal is not None:
            raise SigningRefused(refusal)
        content = NOOP if is_noop(transaction, key.signer.address) else content_digest(transaction)
        state = key.journal.state.after(
            transaction.nonce,
            content,
            paid_units(transaction, key.policy.facts),
            units_per_day=key.units_per_day,
            today=self._clock.now().date(),
        )
        if state is not key.journal.state:
            key.journal.write(state)
