"""Keys that are elsewhere: a signer over HTTP that speaks the JSON-RPC `eth_signTransaction`.

Web3Signer, anvil and `corridor signer` do. Nothing it says is believed: what comes back is decoded
and compared with what was asked, and is used only if every byte is as this node would sign it.
Not here: keys in files (`adapters.evm.signer`).
"""

from dataclasses import fields
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from adapters.evm.errors import NoAnswer, RpcError
from adapters.evm.json_rpc import LOOPBACK, JsonRpc
from adapters.evm.signed import Eip1559Reader
from node.core.errors import InvariantBroken, SignerUnavailable
from node.core.ports.chain import SignedTransaction, UnsignedTransaction
from node.core.units import Address

ANSWER_TIMEOUT_S: Final = 10.0
"""Keys in hardware take some hundred milliseconds."""

_CONNECTS: Final = 3


def url_fault(url: str) -> str | None:
    """What is wrong with the address of a signer; None: nothing."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "the address of the signer is no URL: write https://HOST:PORT"
    if parts.scheme not in ("http", "https") or not host:
        return "the address of the signer must be an https:// URL"
    if parts.username or parts.password:
        return "leave user and password out of the signer's URL: use ;token_file=PATH"
    if parts.scheme == "http" and host not in LOOPBACK:
        return (
            f"http:// to {host} would send what is signed, and the token, openly: use https://, or"
            " a tunnel that ends on this machine"
        )
    return None


class RemoteSigner:
    """See `node.core.ports.chain.Signer`. One of the keys that a server holds."""

    def __init__(self, server: JsonRpc, address: Address) -> None:
        """Nothing is asked yet.

        Args:
            server: Where the key is; signers of one server may share it.
            address: The account of the key.
        """
        self._server = server
        self._address = address

    @classmethod
    def at(cls, url: str, addresses: list[Address], token: str | None) -> "list[RemoteSigner]":
        """A signer for each key of one server; they share its connections.

        Raises:
            SignerUnavailable: The URL is none, or would be read by others on the way.
        """
        fault = url_fault(url)
        if fault is not None:
            raise SignerUnavailable(fault)
        server = JsonRpc(url, answer_timeout_s=ANSWER_TIMEOUT_S, bearer=token, connects=_CONNECTS)
        return [cls(server, each) for each in addresses]

    @property
    def address(self) -> Address:
        """The account that signs."""
        return self._address

    async def sign(self, transaction: UnsignedTransaction) -> SignedTransaction:
        """Ask for a signature, once, and compare what comes back.

        Raises:
            SignerUnavailable: It does not answer, refuses, or gives no signed transaction.
            InvariantBroken: It signed something else.
        """
        try:
            answer = await self._server.call(
                "eth_signTransaction", [_request(self._address, transaction)]
            )
        except RpcError as error:
            raise SignerUnavailable(f"the signer {self._server.name} refuses: {error}") from error
        except NoAnswer as error:
            raise SignerUnavailable(f"the signer does not answer: {error}") from error
        raw = _raw(answer)
        try:
            sender, tx_hash, content = Eip1559Reader().decode(raw)
        except ValueError as error:
            raise SignerUnavailable(
                f"the signer {self._server.name} gives no transaction as this node would sign it"
                f" ({error}): it is not used"
            ) from None
        other = _differences(sender, self._address, content, transaction)
        if other:
            raise InvariantBroken(
                f"the signer {self._server.name} signed another {', '.join(other)} than it was"
                f" asked to for nonce {transaction.nonce}: it is not used; find out whose program"
                " that is, and what else it signed"
            )
        return SignedTransaction(raw, tx_hash)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} 0x{self._address.hex()} at {self._server.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is neither pickled nor copied: it may hold a token")


def _request(sender: Address, transaction: UnsignedTransaction) -> dict[str, str]:
    """The parameter of `eth_signTransaction` (Ethereum JSON-RPC specification, EIP-1559 fields)."""
    return {
        "from": "0x" + sender.hex(),
        "to": "0x" + transaction.to.hex(),
        "chainId": hex(transaction.chain_id),
        "nonce": hex(transaction.nonce),
        "value": hex(transaction.value_wei),
        "data": "0x" + transaction.data.hex(),
        "gas": hex(transaction.gas_limit),
        "maxFeePerGas": hex(transaction.max_fee_per_gas_wei),
        "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas_wei),
        "type": "0x2",
    }


def _raw(answer: Any) -> bytes:
    """The bytes in an answer: a hex string, or an object that has one as `raw` (geth)."""
    text = answer.get("raw") if isinstance(answer, dict) else answer
    try:
        return bytes.fromhex(text.removeprefix("0x")) if isinstance(text, str) else b""
    except ValueError:
        return b""


def _differences(
    sender: Address, own: Address, content: UnsignedTransaction, wanted: UnsignedTransaction
) -> list[str]:
    """Names of what is not as it was asked for."""
    others = [
        each.name
        for each in fields(wanted)
        if getattr(content, each.name) != getattr(wanted, each.name)
    ]
    return others if sender == own else ["sender", *others]
