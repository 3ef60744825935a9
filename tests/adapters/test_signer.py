"""Keys in keystore files: what is signed reads back as what was asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from adapters.evm.signer import Eip1559Reader, KeystoreSigner, write_keystore
from node.core.errors import SignerUnavailable
from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address
from tests.rig import DEV_ACCOUNTS

ADDRESS, KEY = DEV_ACCOUNTS[0]
words = st.integers(0, 2**64 - 1)
transactions = st.builds(
    UnsignedTransaction,
    chain_id=st.integers(1, 2**32),
    nonce=st.integers(0, 2**32),
    to=st.binary(min_size=20, max_size=20).map(Address),
    value_wei=words,
    data=st.binary(max_size=10_000),
    gas_limit=words,
    max_fee_per_gas_wei=words,
    max_priority_fee_per_gas_wei=words,
)


@given(transactions)
async def test_what_was_signed_reads_back_as_what_was_asked(wanted: UnsignedTransaction) -> None:
    signer = KeystoreSigner.of_key(KEY)
    signed = await signer.sign(wanted)
    assert Eip1559Reader().decode(signed.raw) == (signer.address, signed.hash, wanted)
    assert (await signer.sign(wanted)) == signed
    other = replace(wanted, nonce=wanted.nonce + 1)
    assert Eip1559Reader().decode(signed.raw)[2] != other


@given(st.binary(max_size=300))
def test_bytes_that_are_no_transaction_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any words
        Eip1559Reader().decode(raw)


def test_a_legacy_transaction_is_refused() -> None:
    signed = Account.from_key(KEY).sign_transaction(
        {"nonce": 0, "gasPrice": 1, "gas": 21_000, "to": ADDRESS, "value": 0, "chainId": 1}
    )
    with pytest.raises(ValueError):  # noqa: PT011 - any words
        Eip1559Reader().decode(bytes(signed.raw_transaction))


def test_a_keystore_opens_with_the_password_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "lane.json"
    address = write_keystore(path, KEY, "correct horse", iterations=2)
    (signer,) = KeystoreSigner.open_all(tmp_path)
    assert signer.address == address == Address(bytes.fromhex(ADDRESS[2:]))
    assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o600, 0o600]
    assert KEY[2:].encode() not in path.read_bytes()


@pytest.mark.parametrize("spoil", ["password", "keystore", "nothing there"])
def test_a_keystore_that_cannot_be_opened_says_so_and_shows_no_secret(
    tmp_path: Path, spoil: str
) -> None:
    path = tmp_path / "lane.json"
    if spoil != "nothing there":
        write_keystore(path, KEY, "correct horse", iterations=2)
    if spoil == "password":
        path.with_suffix(".password").write_text("wrong horse")
    if spoil == "keystore":
        path.write_text("{}")
    with pytest.raises(SignerUnavailable) as caught:
        KeystoreSigner.open_all(path)
    assert "horse" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_directory_without_keystores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SignerUnavailable):
        KeystoreSigner.open_all(tmp_path)
