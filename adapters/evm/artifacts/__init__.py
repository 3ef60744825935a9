"""The compiled contracts that a node deploys and calls, as committed.

Written by `scripts/compile_contracts.py`; a node needs no compiler. Not here: encoding of calls,
decoding of logs, and addresses of what is deployed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from eth_typing import ABI
from eth_utils.crypto import keccak

_WORD_BYTES = 32


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    Attributes:
        contract: Its name, for instance `TransferSettlement`.
        abi: What it can be asked and told, as the compiler writes it.
        bytecode: Creation code, to be followed by the encoded arguments of the constructor.
        runtime_bytecode: Code on the chain, with every immutable still zero.
        immutables: Where each immutable stands in it: byte offsets of 32-byte words, by name.
        compiler: Version of the compiler, with its commit.
        sha256: Hash of all else in the artifact, sources and settings included, in hex.
    """

    contract: str
    abi: ABI
    bytecode: bytes
    runtime_bytecode: bytes
    immutables: Mapping[str, tuple[int, ...]]
    compiler: str
    sha256: str

    def deployed_code(self, immutables: Mapping[str, int]) -> bytes:
        """The code that `eth_getCode` answers once the contract is deployed.

        Args:
            immutables: The value of each immutable by name; an address is `int(address, 16)`.

        Raises:
            ValueError: The names are not those of the contract's immutables.
        """
        if immutables.keys() != self.immutables.keys():
            raise ValueError(f"{self.contract} has the immutables {sorted(self.immutables)}")
        code = bytearray(self.runtime_bytecode)
        for name, value in immutables.items():
            for offset in self.immutables[name]:
                code[offset : offset + _WORD_BYTES] = value.to_bytes(_WORD_BYTES, "big")
        return bytes(code)

    def deployed_code_hash(self, immutables: Mapping[str, int]) -> bytes:
        """Keccak-256 of `deployed_code`: the code hash of EIP-1052. Raises as that does."""
        return keccak(self.deployed_code(immutables))


@cache
def load(contract: str) -> Artifact:
    """The committed artifact of a contract, such as `TransferSettlement` or `DepositForwarders`.

    Raises:
        FileNotFoundError: There is no such artifact.
    """
    return parse(resources.files(__name__).joinpath(f"{contract}.json").read_text("utf-8"))


def parse(text: str) -> Artifact:
    """An artifact from the JSON that `scripts/compile_contracts.py` writes."""
    document: dict[str, Any] = json.loads(text)
    return Artifact(
        contract=document["contract"],
        abi=document["abi"],
        bytecode=bytes.fromhex(document["bytecode"]),
        runtime_bytecode=bytes.fromhex(document["runtime_bytecode"]),
        immutables={name: tuple(at) for name, at in document["immutables"].items()},
        compiler=document["compiler"],
        sha256=document["sha256"],
    )
