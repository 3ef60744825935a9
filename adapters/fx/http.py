"""Rates of a JSON service over HTTP; which service, and how it answers, are settings.

One GET for each reading, nothing repeated. The whole of it is bounded in time and size, so that a
service that hangs, trickles or never ends costs a reading and nothing else. Faults say what is
wrong without the address (keys hide in addresses) and without the answer's text.
Not here: what an answer must look like (`answer.py`).
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import httpx

from adapters.fx.answer import Layout, Unfit, rates_in
from node.core.errors import RateUnavailable
from node.core.ports import Clock
from node.core.quotes import Rate

ANSWER_BYTES_MAX: Final = 262_144
"""256 KiB; the longest answers of known services, with some 170 currencies, are about 10 KiB."""

TIMEOUT_S: Final = 5
NATURAL_AGE_S: Final = 86_400
"""Where age is not checked: a day, the slowest a service of its kind is."""

KEY_BY_BEARER: Final = "bearer"
_KEY_BYTES_MAX: Final = 4096
_KEY: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_JSON: Final = re.compile(r"(?:application|text)/(?:[a-z0-9.-]+\+)?json")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")
_FAULTS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    ValueError,  # of headers that no text encoding fits, for one
)


@dataclass(frozen=True, slots=True)
class RateService:
    """One service, as the operator describes it.

    Attributes:
        name: As printed in quotes.
        url: What is asked for; `is_allowed` says which. May hold a key: never printed.
        layout: Where its answers have what.
        max_age_s: Older rates are not used; None: age is not checked.
        key_file: Its one line is the key; None: there is none. Read for each reading, so that a
            key can be replaced while the node runs.
        key_as: How the key is sent: `bearer`, `header:NAME` (as it is) or `query:NAME`.
        timeout_s: For the whole of a reading.
    """

    name: str
    url: str = field(repr=False)
    layout: Layout
    max_age_s: int | None
    key_file: Path | None = None
    key_as: str = KEY_BY_BEARER
    timeout_s: float = TIMEOUT_S  # tidy: T1 because seconds, not money


class _NoKey(Exception):
    """The key cannot be had; says why, without it."""


class HttpRates:
    """A `RateSource` over one service. Whoever makes it closes it."""

    def __init__(self, service: RateService, clock: Clock) -> None:
        self.service = service
        self._clock = clock
        self._http = httpx.AsyncClient(
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",  # so that bytes received are bytes kept
                "user-agent": "corridor",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            timeout=None,  # each reading is bounded as a whole # noqa: S113
            trust_env=not is_loopback(httpx.URL(service.url).host),  # no proxy leads back here
        )

    @property
    def name(self) -> str:
        """As printed in quotes."""
        return self.service.name

    @property
    def max_age_s(self) -> int | None:
        """Older rates are not used; None: age is not checked."""
        return self.service.max_age_s

    @property
    def natural_age_s(self) -> int | None:
        """The same, or a day where age is not checked."""
        return self.service.max_age_s or NATURAL_AGE_S

    async def rates(self) -> Sequence[Rate]:
        """Every rate of one answer; see `RateSource.rates`."""
        try:
            async with asyncio.timeout(self.service.timeout_s):
                body = await self._fetch()
            return rates_in(body, self.service.layout, self.name, self._clock.now())
        except TimeoutError as error:
            fault = f"the rate service has not answered within {self.service.timeout_s} s"
            raise RateUnavailable(fault, source=self.name) from error
        except Unfit as error:
            fault = f"the rate service's answer is not used: {error}"
            raise RateUnavailable(fault, source=self.name) from error
        except _NoKey as error:
            fault = f"the rate service cannot be asked: {error}"
            raise RateUnavailable(fault, source=self.name) from error
        except _FAULTS as error:
            fault = f"the rate service does not answer: {_reason(error)}"
            raise RateUnavailable(fault, source=self.name) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _fetch(self) -> bytes:
        request = await self._request()
        response = await self._http.send(request, stream=True)
        try:
            _check_head(response)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise Unfit(f"it is longer than {ANSWER_BYTES_MAX} bytes")
            return bytes(body)
        finally:
            await response.aclose()

    async def _request(self) -> httpx.Request:
        service = self.service
        request = self._http.build_request("GET", service.url)
        if service.key_file is None:
            return request
        key = await asyncio.to_thread(_read_key, service.key_file)
        way, _, name = service.key_as.partition(":")
        if way == "query":
            request = self._http.build_request("GET", request.url.copy_set_param(name, key))
        elif way == "header":
            request.headers[name] = key
        else:
            request.headers["authorization"] = f"Bearer {key}"
        return request


def is_allowed(url: str) -> bool:
    """Whether rates may be asked for there.

    `https`, or `http` where nobody can listen in or answer instead: on this machine. Neither user
    nor password (a key belongs into its file), no fragment.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if not parsed.host or "%" in parsed.host or parsed.userinfo or parsed.fragment:
        return False  # what cannot stand in a host's name is percent-encoded by the parser
    return parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(parsed.host))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1 (RFC 6890)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_head(response: httpx.Response) -> None:
    if response.status_code != httpx.codes.OK:
        also = "; redirects are not followed" if response.has_redirect_location else ""
        raise Unfit(f"HTTP {response.status_code}{also}")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON.fullmatch(media_type):
        shown = media_type if _MEDIA_TYPE.fullmatch(media_type) else "of no known type"
        raise Unfit(f"it is {shown}, not JSON")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unfit("it is compressed, which was not asked for")


def _read_key(file: Path) -> str:
    """The key in a file.

    Raises:
        _NoKey: There is none that can be sent.
    """
    try:
        with file.open("rb") as content:
            key = content.read(_KEY_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _NoKey(f"its key file cannot be read: {type(error).__name__}") from None
    if not _KEY.fullmatch(key):
        raise _NoKey("its key file does not hold one line of visible ASCII characters")
    return key


def _reason(error: Exception) -> str:
    """What went wrong, in words of our own: others may quote addresses, headers or answers."""
    if not isinstance(error, httpx.ConnectError):
        return type(error).__name__
    untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
    return "its certificate is not trusted" if untrusted else "it cannot be reached"
