"""What every `Signer` must do; each adapter's tests inherit it with a signer of their own."""

import asyncio
import copy
import pickle
from dataclasses import replace

import pytest

from adapters.evm.signed import Eip1559Reader
from node.core.errors import SignerUnavailable
from node.core.ports.chain import Signer, UnsignedTransaction
from node.core.units import Address
from tests.rig import DEV_ACCOUNTS

ADDRESS, KEY = DEV_ACCOUNTS[1]
PAYMENT = UnsignedTransaction(
    chain_id=31337,
    nonce=7,
    to=Address(b"\x11" * 20),
    value_wei=3,
    data=b"\x01\x02",
    gas_limit=100_000,
    max_fee_per_gas_wei=2 * 10**9,
    max_priority_fee_per_gas_wei=10**9,
)
SECRETS = (KEY[2:], KEY[2:].upper(), str(int(KEY, 16)), repr(bytes.fromhex(KEY[2:]))[2:-1])


def shows_a_secret(text: str) -> bool:
    return any(each in text for each in SECRETS)


class SignerSuite:
    """Inherit, and override the two fixtures. The key is that of `ADDRESS`."""

    @pytest.fixture
    def signer(self) -> Signer:
        """A signer in good order."""
        raise NotImplementedError

    @pytest.fixture
    def broken(self) -> Signer | None:
        """A signer that cannot sign now; None: this kind always can."""
        raise NotImplementedError

    def test_it_says_whose_transactions_it_signs(self, signer: Signer) -> None:
        assert signer.address == bytes.fromhex(ADDRESS[2:])

    async def test_what_it_signs_reads_back_as_what_was_asked(self, signer: Signer) -> None:
        for wanted in (
            PAYMENT,
            replace(PAYMENT, data=b"", value_wei=0, to=signer.address, gas_limit=21_000),
            replace(PAYMENT, nonce=0, data=bytes(9_300)),
            replace(PAYMENT, max_priority_fee_per_gas_wei=0),
        ):
            signed = await signer.sign(wanted)
            decoded = Eip1559Reader().decode(signed.raw)
            assert decoded == (signer.address, signed.hash, wanted)

    async def test_the_same_transaction_has_the_same_bytes(self, signer: Signer) -> None:
        first, second = await asyncio.gather(signer.sign(PAYMENT), signer.sign(PAYMENT))
        assert first == second

    async def test_transactions_asked_for_at_once_are_not_mixed_up(self, signer: Signer) -> None:
        wanted = [replace(PAYMENT, nonce=nonce) for nonce in range(20)]
        signed = await asyncio.gather(*(signer.sign(each) for each in wanted))
        assert [Eip1559Reader().decode(each.raw)[2] for each in signed] == wanted

    async def test_its_only_error_is_signer_unavailable(self, broken: Signer | None) -> None:
        if broken is not None:
            with pytest.raises(SignerUnavailable):
                await broken.sign(PAYMENT)

    def test_it_shows_no_key(self, signer: Signer) -> None:
        assert not shows_a_secret(repr(signer) + str(signer) + f"{signer!r:>200}")
        assert signer.address.hex() in repr(signer)

    def test_it_is_not_pickled_nor_copied(self, signer: Signer) -> None:
        for store in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                store(signer)
