"""Addresses of deposits: where the node's `DepositForwarders` contract has or will have forwarders.

Calculated, never asked for: CREATE2 of EIP-1014, over the contract's own address, a salt, and the
code of a forwarder, which has the destination in it. A shared test holds this to the contract. Not
here: whose address is whose (`node.core.ports.deposits`), and sweeping
(`node.services.settlement.sweeping`).
"""

from typing import Final

from eth_utils.crypto import keccak

from adapters.evm.artifacts import load
from node.core.errors import InvariantBroken
from node.core.units import Address

SALT_BYTES: Final = 32

# What deploys a forwarder, around the destination: `FORWARDER_HEAD` and `FORWARDER_TAIL` of
# contracts/src/DepositForwarders.sol, which says what each byte does.
_FORWARDER_HEAD: Final = bytes.fromhex("60428060095f395ff35f5f3460405763a9059cbb5f5273")
_FORWARDER_TAIL: Final = bytes.fromhex(
    "6020526020356040526044601c345f355af13d5f5f3e5f3d9115604057f35bfd"
)
_CREATE2: Final = b"\xff"  # EIP-1014: so that no address of CREATE is one of CREATE2


class ForwarderAddresses:
    """Deposit addresses of one factory; see `node.core.ports.deposits.DepositAddressCodec`."""

    def __init__(self, factory: Address, destination: Address) -> None:
        self._factory = factory
        self._forwarder_hash = keccak(_FORWARDER_HEAD + destination + _FORWARDER_TAIL)

    def address_of(self, salt: bytes) -> Address:
        """The deposit address of a salt of 32 bytes.

        Raises:
            InvariantBroken: The salt has another length.
        """
        if len(salt) != SALT_BYTES:
            raise InvariantBroken(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
        return Address(keccak(_CREATE2 + self._factory + salt + self._forwarder_hash)[12:])


def factory_code_hash(destination: Address) -> bytes:
    """Keccak-256 of the code at a factory of this release that is bound to this destination."""
    forwarder_hash = keccak(_FORWARDER_HEAD + destination + _FORWARDER_TAIL)
    return load("DepositForwarders").deployed_code_hash(
        {
            "DESTINATION": int.from_bytes(destination),
            "FORWARDER_HASH": int.from_bytes(forwarder_hash),
        }
    )
