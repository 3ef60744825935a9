"""Keys in keystore files: what is signed reads back as what was asked for, and no key is shown."""

import io
import traceback
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.traceback import Traceback

from adapters.evm.keystores import keystore_address
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner, write_keystore
from adapters.evm.signers import open_signers
from node.core.errors import InvariantBroken, SignerUnavailable
from node.core.ports.chain import Signer, UnsignedTransaction
from node.core.units import Address
from tests.adapters.signer_suite import ADDRESS, KEY, PAYMENT, SignerSuite, shows_a_secret
from tests.rig import DEV_ACCOUNTS

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
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


class TestKeystore(SignerSuite):
    """A key in a file of this machine."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Signer:
        write_keystore(tmp_path / "lane.json", KEY, "correct horse", iterations=2)
        return KeystoreSigner.open(tmp_path / "lane.json")

    @pytest.fixture
    def broken(self) -> Signer | None:
        return None


# ------------------------------------------------------------------------------- reading back


@given(transactions)
async def test_what_was_signed_reads_back_as_what_was_asked(wanted: UnsignedTransaction) -> None:
    signer = KeystoreSigner.of_key(KEY)
    signed = await signer.sign(wanted)
    assert Eip1559Reader().decode(signed.raw) == (signer.address, signed.hash, wanted)
    assert bytes.fromhex(Account.recover_transaction(signed.raw)[2:]) == signer.address
    other = replace(wanted, nonce=wanted.nonce + 1)
    assert Eip1559Reader().decode(signed.raw)[2] != other


@given(st.binary(max_size=300))
def test_bytes_that_are_no_transaction_are_refused(raw: bytes) -> None:
    for each in (raw, b"\2" + raw, b"\2" + rlp.encode([raw] * 12)):
        with pytest.raises(ValueError):  # noqa: PT011 - any words
            Eip1559Reader().decode(each)


@given(st.data())
async def test_a_byte_changed_is_refused_or_is_seen(data: st.DataObject) -> None:
    signer = KeystoreSigner.of_key(KEY)
    signed = await signer.sign(PAYMENT)
    at = data.draw(st.integers(0, len(signed.raw) - 1))
    flip = data.draw(st.integers(1, 255))
    spoiled = signed.raw[:at] + bytes([signed.raw[at] ^ flip]) + signed.raw[at + 1 :]
    try:
        sender, tx_hash, content = Eip1559Reader().decode(spoiled)
    except ValueError:
        return
    assert (sender, content) != (signer.address, PAYMENT)
    assert tx_hash != signed.hash


async def other_encodings() -> dict[str, bytes]:
    """The same content by the same key, in bytes that this node would not make."""
    raw = (await KeystoreSigner.of_key(KEY).sign(PAYMENT)).raw
    fields = rlp.decode(raw[1:])
    parity, _, s = (int.from_bytes(each) for each in fields[9:])
    twin = [bytes([1 - parity]) if parity == 0 else b"", fields[10], (ORDER - s).to_bytes(32)]
    zeros = [*fields[:1], b"\0" + fields[1], *fields[2:]]
    return {
        "the higher s": b"\2" + rlp.encode([*fields[:9], *twin]),
        "bytes behind": raw + b"\0",
        "a leading zero": b"\2" + rlp.encode(zeros),
        "an access list": b"\2" + rlp.encode([*fields[:8], [[bytes(20), []]], *fields[9:]]),
        "nobody it goes to": b"\2" + rlp.encode([*fields[:5], b"", *fields[6:]]),
        "no signature": b"\2" + rlp.encode(fields[:9]),
        "a signature of zeros": b"\2" + rlp.encode([*fields[:9], b"", b"", b""]),
        "a parity of two": b"\2" + rlp.encode([*fields[:9], b"\2", *fields[10:]]),
        "lists in lists": b"\2" + b"\xc1" * 5_000 + b"\xc0",
        "a list for a number": b"\2" + rlp.encode([*fields[:1], [], *fields[2:]]),
        "another type": b"\3" + raw[1:],
    }


async def test_only_the_one_encoding_of_a_content_is_read() -> None:
    for name, raw in (await other_encodings()).items():
        with pytest.raises(ValueError):  # noqa: PT011 - any words
            print(name, Eip1559Reader().decode(raw))  # noqa: T201 - seen when it fails


def test_a_legacy_transaction_is_refused() -> None:
    signed = Account.from_key(KEY).sign_transaction(
        {"nonce": 0, "gasPrice": 1, "gas": 21_000, "to": ADDRESS, "value": 0, "chainId": 1}
    )
    with pytest.raises(ValueError):  # noqa: PT011 - any words
        Eip1559Reader().decode(bytes(signed.raw_transaction))


# ----------------------------------------------------------------------------------- keystores


def test_a_keystore_opens_with_the_password_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "lane.json"
    address = write_keystore(path, KEY, "correct horse", iterations=2)
    (signer,) = open_signers(f"keystore:{tmp_path}")
    assert signer.address == address == Address(bytes.fromhex(ADDRESS[2:]))
    assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o600, 0o600]
    assert KEY[2:].encode() not in path.read_bytes()


def spoil(path: Path, how: str) -> None:
    if how != "nothing there":
        write_keystore(path, KEY, "correct horse", iterations=2)
    if how == "password":
        path.with_suffix(".password").write_text("wrong horse")
    if how == "no password":
        path.with_suffix(".password").unlink()
    if how == "empty password":
        path.with_suffix(".password").write_text("\n")
    if how == "keystore":
        path.write_text("{}")
    if how == "another address":
        document = orjson.loads(path.read_bytes())
        path.write_bytes(orjson.dumps({**document, "address": DEV_ACCOUNTS[0][0]}))


SPOILED = [
    "password", "no password", "empty password", "keystore", "nothing there", "another address",
]  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_keystore_that_cannot_be_opened_says_so_and_shows_no_secret(
    tmp_path: Path, how: str
) -> None:
    path = tmp_path / "lane.json"
    spoil(path, how)
    with pytest.raises(SignerUnavailable) as caught:
        KeystoreSigner.open(path)
    shown = everything_shown(caught.value)
    assert str(path.with_suffix("")) in str(caught.value)
    assert "horse" not in shown
    assert not shows_a_secret(shown)


async def test_a_transaction_that_cannot_be_signed_shows_no_key() -> None:
    signer = KeystoreSigner.of_key(KEY)
    with pytest.raises(InvariantBroken) as caught:
        await signer.sign(replace(PAYMENT, nonce=-1))
    assert not shows_a_secret(everything_shown(caught.value))


def everything_shown(error: BaseException) -> str:
    """What the most talkative of tracebacks shows: every cause, every variable of every frame.

    Frames of tests are left out: they have the key among their names.
    """
    trace = error.__traceback__
    while trace is not None and "/tests/" in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    error.__suppress_context__ = False
    plain = "".join(
        traceback.TracebackException(type(error), error, trace, capture_locals=True).format()
    )
    told = io.StringIO()
    console = Console(file=told, width=1000)
    console.print(Traceback.from_exception(type(error), error, trace, show_locals=True))
    return plain + told.getvalue()


def test_a_directory_without_keystores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SignerUnavailable):
        open_signers(f"keystore:{tmp_path}")


@pytest.mark.parametrize("address", ["", "0x", "zz", "0x" + "11" * 19, 7, None])
def test_a_keystore_without_an_address_names_no_account(tmp_path: Path, address: object) -> None:
    path = tmp_path / "lane.json"
    path.write_bytes(orjson.dumps({"address": address}))
    with pytest.raises(SignerUnavailable):
        keystore_address(path)
