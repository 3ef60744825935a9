"""The local chain: the real anvil binary, its caches kept inside the state directory.

Not here: contracts and money on the chain (`chain.py`), and who starts it (`supervisor.py`).
"""

from __future__ import annotations

import platform
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from node.devnet.errors import DevnetError
from node.devnet.programs import Program
from node.devnet.rpc import call

CHAIN_ID = 31337
VERSION = "1.7.1"

# anvil's first accounts, of its well-known test mnemonic: (address, private key). Everybody has
# these keys; they are worth nothing anywhere but on a chain of one's own.
DEV_ACCOUNTS = (
    (
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    ),
    (
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    ),
    (
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ),
)

# Ethereum's own limits: 60 M gas a block, and 2^24 a transaction (EIP-7825, checked because of
# --enable-tx-gas-limit).
BLOCK_GAS_LIMIT = 60_000_000

_PLATFORMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Anvil:
    """One local chain.

    Attributes:
        directory: anvil's home: caches, and the state when `keep_state`.
        port: TCP port on 127.0.0.1.
        log: anvil's log file.
        block_time_s: A block each so many seconds; None mines each transaction at once.
        automine: False mines only on `evm_mine` (with `block_time_s` None).
        states_kept: Old blocks that can be asked for state (`eth_call`, balances); with a
            `block_time_s` of 1 or 2 anvil keeps 1,500 instead. Blocks, receipts and logs are
            kept without limit.
        keep_state: Load `directory/state.json` at start and write it in an orderly end.
        options: More options of anvil, literally.
    """

    directory: Path
    port: int
    log: Path
    block_time_s: int | None = None
    automine: bool = True
    states_kept: int = 256
    keep_state: bool = False
    options: tuple[str, ...] = ()

    @property
    def rpc_url(self) -> str:
        """Where the chain answers JSON-RPC."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_file(self) -> Path:
        """What an orderly end leaves for the next start."""
        return self.directory / "state.json"

    def program(self) -> Program:
        """The chain as a program for `spawn`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            str(binary("anvil")),
            *("--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(CHAIN_ID)),
            *("--hardfork", "osaka", "--gas-limit", str(BLOCK_GAS_LIMIT), "--enable-tx-gas-limit"),
            # States of old blocks otherwise go to disk, gigabytes a day.
            *("--prune-history", str(self.states_kept)),
            *("--cache-path", str(self.directory / "cache")),
            "--quiet",
            *self.options,
        ]
        if self.block_time_s is not None:
            command += ["--block-time", str(self.block_time_s)]
        elif not self.automine:
            command.append("--no-mining")
        if self.keep_state:
            command += ["--dump-state", str(self.state_file)]
            if self.state_file.exists():
                command += ["--load-state", str(self.state_file)]
        home = str(self.directory)
        return Program(
            name="anvil",
            command=command,
            log=self.log,
            environment={"HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home, "NO_COLOR": "1"},
            cwd=self.directory,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def ready(self) -> bool:
        """Whether the chain answers, with the right chain id."""
        try:
            return int(call(self.rpc_url, "eth_chainId", limit_s=2.0), 16) == CHAIN_ID
        except DevnetError:
            return False

    def remove_caches(self) -> None:
        """Delete what a killed anvil may have left; the state file stays."""
        for each in (*self.directory.glob("*"), *self.directory.glob(".*")):
            if each != self.state_file:
                shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink()


def binary(name: str) -> Path:
    """Path of a Foundry program (`anvil`, `forge`) inside `contracts/node_modules`.

    The package's own launcher is a Node.js program that would stand between a signal and the
    program; this is the program itself.

    Raises:
        DevnetError: The package is missing, or does not exist for this system.
    """
    system, machine = _PLATFORMS.get(platform.system()), _MACHINES.get(platform.machine().lower())
    if system is None or machine is None:
        raise DevnetError(
            f"there is no {name} for {platform.system()} on {platform.machine()}",
            remedy="use Linux or macOS on x86-64 or arm64",
        )
    contracts = Path(__file__).resolve().parents[2] / "contracts"
    package = contracts / "node_modules" / "@foundry-rs" / f"{name}-{system}-{machine}"
    if not (package / "bin" / name).exists():
        raise DevnetError(
            f"{name} is not installed: {package} is missing",
            remedy="run ./scripts/demo, or `npm ci --ignore-scripts` in contracts/",
        )
    return package / "bin" / name
