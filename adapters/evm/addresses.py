"""The text form of addresses: EIP-55, by which a mistyped letter is noticed."""

import re
from functools import lru_cache
from typing import Final

from eth_utils.address import to_checksum_address

from node.core.errors import AddressInvalid
from node.core.units import Address

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


class Eip55:
    """See `node.core.ports.chain.AddressCodec`."""

    def parse(self, text: str) -> Address:
        """The address written as `text`; all lower or all upper case has no checksum.

        Raises:
            AddressInvalid: Not 0x and 40 hex digits, or of mixed case with a wrong checksum.
        """
        if not _ADDRESS.fullmatch(text):
            raise AddressInvalid("write the address as 0x and 40 hexadecimal digits")
        digits = text[2:]
        address = Address(bytes.fromhex(digits))
        if digits not in (digits.lower(), digits.upper()) and self.text(address) != text:
            raise AddressInvalid(
                "the capital letters of the address do not fit it (EIP-55 checksum): a character"
                " is wrong; copy the address again"
            )
        return address

    def text(self, address: Address) -> str:
        """The checksummed text."""
        return _checksummed(address)


@lru_cache(maxsize=1024)  # the node's own contract and token are printed with every transfer
def _checksummed(address: Address) -> str:
    return str(to_checksum_address(address))
