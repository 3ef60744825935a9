"""HTTP of the signer process: JSON-RPC `eth_signTransaction` and `eth_accounts`, and its health.

Every request but health carries the bearer token. Only what this node's transactions have is
read; a member more (an access list, a gas price, blobs) is refused by its name.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.core.ports.chain import UnsignedTransaction
from node.core.units import Address
from node.signer.desk import SigningDesk
from node.signer.journal import SigningRefused

BODY_MAX: Final = 65_536
"""Bytes of a request; a batch of 256 payments takes about 19,000."""

_PARSE_ERROR: Final = -32700  # JSON-RPC 2.0
_INVALID_REQUEST: Final = -32600
_METHOD_NOT_FOUND: Final = -32601
_INVALID_PARAMS: Final = -32602
_REFUSED: Final = -32000

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_MEMBERS: Final = frozenset(
    {
        "from", "to", "chainId", "nonce", "value", "data", "gas", "maxFeePerGas",
        "maxPriorityFeePerGas", "type",
    }
)  # fmt: skip
_TYPE: Final = "0x2"


class _Fault(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class SignerApp:
    """Answers requests."""

    def __init__(self, desk: SigningDesk, bearer: str) -> None:
        self._desk = desk
        self._credential = f"Bearer {bearer}".encode()

    def asgi(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/", self._answer, methods=["POST"]),
                Route("/healthz", self._health, methods=["GET"]),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def _answer(self, request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._credential):
            return Response(status_code=401, headers={"www-authenticate": "Bearer"})
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_MAX:
                return Response(status_code=413)
        identity: object = None
        try:
            call = _call(body)
            identity = call.get("id")
            result = await self._result(call)
        except _Fault as fault:
            error = {"code": fault.code, "message": str(fault)}
            return _json({"jsonrpc": "2.0", "id": identity, "error": error})
        return _json({"jsonrpc": "2.0", "id": identity, "result": result})

    async def _result(self, call: Mapping[str, Any]) -> object:
        match call.get("method"):
            case "eth_accounts":
                return [f"0x{each.hex()}" for each in self._desk.addresses]
            case "eth_signTransaction":
                sender, transaction = _transaction(call.get("params"))
                try:
                    signed = await self._desk.sign(sender, transaction)
                except SigningRefused as refused:
                    raise _Fault(_REFUSED, str(refused)) from None
                return f"0x{signed.raw.hex()}"
            case _:
                raise _Fault(
                    _METHOD_NOT_FOUND, "there are eth_signTransaction and eth_accounts, no others"
                )


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


def _call(body: bytes) -> Mapping[str, Any]:
    try:
        call = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Fault(_PARSE_ERROR, "the body is not JSON") from None
    if not isinstance(call, dict):
        raise _Fault(_INVALID_REQUEST, "send one request at a time")
    return call


def _transaction(params: object) -> tuple[Address, UnsignedTransaction]:
    match params:
        case [dict(members)]:
            pass
        case _:
            raise _Fault(_INVALID_PARAMS, "the parameter is one transaction")
    if unknown := sorted(set(members) - _MEMBERS):
        raise _Fault(_INVALID_PARAMS, f"{', '.join(unknown)[:100]} is not signed here")
    if members.get("type", _TYPE) != _TYPE:
        raise _Fault(_INVALID_PARAMS, "only transactions of type 0x2 are signed here")
    return _address(members, "from"), UnsignedTransaction(
        chain_id=_quantity(members, "chainId"),
        nonce=_quantity(members, "nonce"),
        to=_address(members, "to"),
        value_wei=_quantity(members, "value"),
        data=bytes.fromhex(_matching(members, "data", _DATA)[2:]),
        gas_limit=_quantity(members, "gas"),
        max_fee_per_gas_wei=_quantity(members, "maxFeePerGas"),
        max_priority_fee_per_gas_wei=_quantity(members, "maxPriorityFeePerGas"),
    )


def _quantity(members: Mapping[str, Any], name: str) -> int:
    return int(_matching(members, name, _QUANTITY), 16)


def _address(members: Mapping[str, Any], name: str) -> Address:
    return Address(bytes.fromhex(_matching(members, name, _ADDRESS)[2:]))


def _matching(members: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    text = members.get(name)
    if not isinstance(text, str) or not form.fullmatch(text):
        raise _Fault(_INVALID_PARAMS, f"{name} is missing, or not written as JSON-RPC has it")
    return text
