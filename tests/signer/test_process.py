"""The real signer process, asked by the node's own adapter, for a real chain."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.evm.signer import write_keystore
from adapters.evm.signers import close_signers, open_signers
from node.core.errors import SignerUnavailable
from node.core.ports.chain import UnsignedTransaction
from node.core.settlement import PaymentRecord, settle_calldata
from node.core.units import Address
from node.devnet import programs
from tests.onchain import LANE, LANE_KEY, OnChain, address_of
from tests.rig import AnvilServer

pytestmark = pytest.mark.usefixtures("one_day")

TOKEN = "0123456789abcdef" * 4
PASSWORD = "correct horse"
BENEFICIARY = Address(b"\xbb" * 20)


class SignerProcess:
    """`corridor signer` with one lane's key."""

    def __init__(self, directory: Path, chain: OnChain, units_per_day: int) -> None:
        self.file = directory / "signer.toml"
        self.log = directory / "signer.log"
        self.port = programs.free_port()
        write_keystore(directory / "lane.json", LANE_KEY, PASSWORD, iterations=2)
        (directory / "signer.token").write_text(TOKEN)
        self.file.write_text(
            f'listen = "127.0.0.1:{self.port}"\n'
            'token_file = "signer.token"\nstate_dir = "state"\nchain_id = 31337\n'
            f'contract = "0x{chain.contract.hex()}"\ntoken = "0x{chain.token.hex()}"\n'
            "fee_max_wei = 500_000_000_000\n"
            '[[keys]]\nkeystore = "lane.json"\nrole = "settle"\n'
            f"units_per_day = {units_per_day}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def setting(self) -> str:
        """What the node's `SIGNER` would be."""
        url = f"http://127.0.0.1:{self.port}"
        return f"remote:{url};address={LANE};token_file={self.file.parent / 'signer.token'}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Another `corridor signer` on the same file, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "node", "signer", "--file", str(self.file), *arguments],
            check=False,
            capture_output=True,
            text=True,
        )

    def start(self) -> None:
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "node", "signer", "--file", str(self.file)],
                stdout=log,
                stderr=log,
            )

        def listens() -> bool:
            return "signs (eth_signTransaction)" in self.log.read_text()

        programs.wait_until(lambda: listens() or process.poll() is not None, limit_s=60)
        assert listens(), self.log.read_text()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.log.write_text("")


@pytest.fixture
def process(anvil: AnvilServer, tmp_path: Path) -> Iterator[SignerProcess]:
    process = SignerProcess(tmp_path, OnChain.deploy(anvil), units_per_day=1_000)
    process.start()
    yield process
    process.kill()


def a_batch(process: SignerProcess, nonce: int, number: int, amount: int) -> UnsignedTransaction:
    contract = next(
        line.split('"')[1]
        for line in process.file.read_text().splitlines()
        if line.startswith("contract")
    )
    calldata = settle_calldata([PaymentRecord(number, BENEFICIARY, amount)])
    return UnsignedTransaction(
        31337, nonce, address_of(contract), 0, calldata, 500_000, 4 * 10**9, 10**9
    )


async def test_a_batch_signed_there_is_paid_here_and_the_limit_outlives_a_kill(
    anvil: AnvilServer, process: SignerProcess
) -> None:
    (signer,) = open_signers(process.setting)
    batch = a_batch(process, 0, 1, 600)
    signed = await signer.sign(batch)
    anvil.rpc("eth_sendRawTransaction", f"0x{signed.raw.hex()}")
    assert anvil.mined(f"0x{signed.hash.hex()}")["status"] == "0x1"
    process.kill()
    with pytest.raises(SignerUnavailable, match="does not answer"):
        await signer.sign(batch)
    process.start()
    with pytest.raises(SignerUnavailable, match="400 are left until midnight UTC"):
        await signer.sign(a_batch(process, 1, 2, 401))
    with pytest.raises(SignerUnavailable, match="another transaction was signed for nonce 0"):
        await signer.sign(a_batch(process, 0, 2, 400))
    bumped = await signer.sign(replace(batch, max_fee_per_gas_wei=5 * 10**9))
    assert bumped.hash != signed.hash
    stolen = replace(batch, nonce=1, to=BENEFICIARY, data=b"", value_wei=10**18)
    with pytest.raises(SignerUnavailable, match="a key of the role settle signs only"):
        await signer.sign(stolen)
    await close_signers([signer])
    told = process.log.read_text()
    assert told.count("refused") == 3
    for secret in (LANE_KEY[2:], TOKEN, PASSWORD):
        assert secret not in told


async def test_without_the_right_token_it_does_not_sign(process: SignerProcess) -> None:
    (process.file.parent / "signer.token").write_text(TOKEN[::-1])
    (signer,) = open_signers(process.setting)
    with pytest.raises(SignerUnavailable, match="401"):
        await signer.sign(a_batch(process, 0, 1, 1))
    await close_signers([signer])


def test_its_memory_is_in_no_core_dump(process: SignerProcess) -> None:
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]


def test_a_nonce_is_let_go_only_while_the_process_is_stopped(process: SignerProcess) -> None:
    busy = process.run("--forget", f"{LANE}:0")
    assert (busy.returncode, "another signer process" in busy.stderr) == (4, True)
    process.kill()
    unknown = process.run("--forget", f"{LANE}:0")
    assert (unknown.returncode, "nothing was signed for nonce 0" in unknown.stderr) == (3, True)
    assert process.run("--forget", LANE).returncode == 2


def test_check_opens_every_key_and_says_which_there_are(process: SignerProcess) -> None:
    process.kill()
    checked = process.run("--check")
    assert checked.stdout == f"{LANE}  settle  at most 1000 token units a day\n"
    (process.file.parent / "lane.password").write_text("wrong")
    wrong = process.run("--check")
    assert (wrong.returncode, "cannot be opened" in wrong.stderr) == (4, True)
    assert PASSWORD not in wrong.stderr


PRIVATE = """
import ctypes, resource
from adapters.machine import keep_memory_private
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)
before = libc.prctl(3, 0, 0, 0, 0)
keep_memory_private()
print(before, resource.getrlimit(resource.RLIMIT_CORE), libc.prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_a_process_that_keeps_its_memory_private_is_not_dumpable() -> None:
    done = subprocess.run([sys.executable, "-c", PRIVATE], check=True, capture_output=True)
    assert done.stdout == b"1 (0, 0) 0\n"


CRASH = """
import sys
import structlog
from adapters.evm.signer import KeystoreSigner
from node import logs
logs.configure(level="info", form=sys.argv[1])
def careless(private_key, password):
    signer = KeystoreSigner.of_key(private_key)
    raise ValueError("something went wrong")
try:
    careless(sys.stdin.readline().strip(), "correct horse")
except ValueError:
    structlog.get_logger().exception("careless")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_logged_traceback_shows_no_variables(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, form],
        check=True,
        capture_output=True,
        text=True,
        input=f"{LANE_KEY}\n",
    )
    assert "something went wrong" in done.stderr
    assert LANE_KEY[2:] not in done.stderr
    assert PASSWORD not in done.stderr
