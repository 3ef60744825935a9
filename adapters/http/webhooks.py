"""Sending webhooks to URLs that others chose; see `node.core.ports.webhooks.WebhookSender`.

The name is looked up once, every address it has must be public, and the connection goes to an
address that was checked, so that a name which answers otherwise the second time (DNS rebinding)
gains nothing: TLS and `Host` still have the name. No redirection is followed, no proxy of the
environment is used, no connection is used for two messages, and little of an answer is read.

Not here: what is sent, and when (`node.services.webhooks`).
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Final

import httpx

from adapters.http.addresses import is_public
from node.core.ports.webhooks import Answered
from node.core.webhooks import (
    WebhookUrlRefused,
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_LIMIT_S: Final = 10
_READ_BYTES_MAX: Final = 64 * 1024
_KEPT_BYTES: Final = 1024
_URL_MAX: Final = 2048
_ADDRESSES_TRIED: Final = 3
_PORT_MAX: Final = 65_535
# Look-ups cannot be canceled, and the loop's own threads are few: names that take long must not use
# them up.
_NAMES: Final = ThreadPoolExecutor(max_workers=64, thread_name_prefix="names")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_AUTHORITY_END: Final = re.compile(r"[/?#]")  # RFC 3986 3.2
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")  # how WHATWG's URL tells an IPv4 address's end


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL that may be sent to, in parts."""

    url: httpx.URL
    host: str
    port: int


class _Refused(Exception):
    """Why nothing was sent, for the endpoint's owner."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the system's order.

    Raises:
        OSError: It has none.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_NAMES, ask)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class HttpWebhookSender:
    """Sends each message over a connection of its own."""

    def __init__(
        self,
        *,
        may_be_private: bool = False,
        resolve: Resolve = look_up,
        tls: ssl.SSLContext | None = None,
        limit_s: float = _LIMIT_S,
    ) -> None:
        """Nothing is opened yet.

        Args:
            may_be_private: Send to any address and by http as well: for networks of one's own.
            resolve: Looks names up.
            tls: How servers prove who they are; None: by the authorities that browsers know.
            limit_s: How long a message may take in all.
        """
        self._may_be_private = may_be_private
        self._resolve = resolve
        self._limit_s = limit_s
        self._http = httpx.AsyncClient(
            verify=True if tls is None else tls,
            trust_env=False,
            follow_redirects=False,
            timeout=limit_s,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    def check(self, url: str) -> None:
        """Whether messages are sent to such a URL; looks nothing up.

        Raises:
            WebhookUrlRefused: They are not; says why.
        """
        try:
            self._target(url)
        except _Refused as reason:
            raise WebhookUrlRefused(str(reason)) from None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Send once; the answer, or why there is none."""
        clock = asyncio.get_running_loop().time
        started_s, heard = clock(), _Heard()
        error: str | None = None
        try:
            async with asyncio.timeout(self._limit_s):
                await self._send(self._target(url), headers, body, heard)
        except TimeoutError:
            error = f"no answer within {self._limit_s:g} s"
        except _Refused as reason:
            error = str(reason)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            error = _in_words(fault)
        duration_ms = int((clock() - started_s) * 1000)
        # Once the status is there it counts: what of the answer's body follows does not matter.
        return Answered(
            status=heard.status,
            error=None if heard.status is not None else error,
            retry_after=heard.retry_after,
            duration_ms=duration_ms,
            answer=bytes(heard.body[:_KEPT_BYTES]).decode(errors="replace").replace("\0", "\ufffd"),
        )

    def _target(self, text: str) -> _Target:
        """The URL in parts, each of them as it is used: nothing reads the text again."""
        if len(text) > _URL_MAX:
            raise _Refused(f"the URL has more than {_URL_MAX} characters")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            raise _Refused("the URL cannot be read") from None
        schemes = ("https", "http") if self._may_be_private else ("https",)
        if url.scheme not in schemes:
            raise _Refused(f"the URL must begin with {' or '.join(schemes)}://")
        if url.userinfo or "@" in _AUTHORITY_END.split(text.partition("//")[2])[0]:
            raise _Refused("the URL must not have a user name or password")
        if url.fragment:
            raise _Refused("the URL must not have a fragment")
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if not _is_host(host):
            raise _Refused("the URL's host is no name and no address in its usual form")
        if not self._may_be_private and (_is_address(host) and not is_public(host)):
            raise _Refused("the URL's address is not public")
        port = {"https": 443, "http": 80}[url.scheme] if url.port is None else url.port
        if not 0 < port <= _PORT_MAX:
            raise _Refused("the URL's port is none")
        return _Target(url, host, port)

    async def _send(
        self, target: _Target, headers: Mapping[str, str], body: bytes, heard: "_Heard"
    ) -> None:
        addresses = await self._addresses(target)
        last: httpx.ConnectError | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            request = self._http.build_request(
                "POST",
                target.url.copy_with(host=address),
                headers={
                    **headers,
                    "Host": target.url.netloc.decode(),
                    "Accept-Encoding": "identity",
                },
                content=body,
                extensions={"sni_hostname": target.host},
            )
            try:
                answer = await self._http.send(request, stream=True)
            except httpx.ConnectError as error:  # nothing of the message was sent
                last = error
                continue
            heard.status = answer.status_code
            heard.retry_after = answer.headers.get("retry-after")
            with suppress(httpx.HTTPError):
                await _read(answer, heard.body)
            return
        raise last or _Refused("the host has no address")

    async def _addresses(self, target: _Target) -> Sequence[str]:
        if _is_address(target.host):
            return [target.host]  # it was checked with the URL
        try:
            found = await self._resolve(target.host, target.port)
        except OSError:
            raise _Refused("the host has no address") from None
        if not self._may_be_private and not all(is_public(each) for each in found):
            raise _Refused("the host has an address that is not public")
        return found


class _Heard:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None
        self.body = bytearray()


async def _read(answer: httpx.Response, into: bytearray) -> None:
    """At most so many bytes, as they are sent: nothing is unpacked."""
    try:
        async for piece in answer.aiter_raw():
            into += piece
            if len(into) >= _READ_BYTES_MAX:
                return
    finally:
        await answer.aclose()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    """A name, or an address as `ipaddress` writes it: no 127.1, no 0x7f000001, no 2130706433."""
    if _is_address(host):
        return True
    return bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])


def _in_words(fault: Exception) -> str:
    """What the owner of an endpoint can use; no addresses, which may be of the node's network."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(fault, httpx.ConnectError | OSError):
        return "the connection failed"
    if isinstance(fault, httpx.TimeoutException):
        return "no answer in time"
    return "the answer is not HTTP" if isinstance(fault, httpx.ProtocolError) else "it hung up"
