"""Where webhooks may go, and that they go nowhere else whatever a name or an answer says."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.http.addresses import is_public
from adapters.http.webhooks import HttpWebhookSender, look_up
from node.core.ports.webhooks import Answered
from node.core.webhooks import (
    WebhookUrlRefused,
)

PUBLIC = "93.184.215.14"
HEADERS = {"content-type": "application/json", "webhook-id": "del_1"}

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "100::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_these_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "1.1.1.1", "::ffff:1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"]
)
def test_these_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.1.1"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.fixture
async def guarded() -> AsyncIterator[HttpWebhookSender]:
    sender = HttpWebhookSender()
    yield sender
    await sender.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "",
        "https://",
        "https:",
        "https:example.com",
        "https:///path",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com/#fragment",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://exam ple.com/",
        "https://example.com\r\nHost: x/",
        "https://-example.com/",
        "https://example..com/",
        "https://" + "a" * 64 + ".com/",
        "https://example.com/" + "a" * 2048,
        # One machine, in all the ways there are to write it.
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://0/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0x7F000001/",
        "https://127.0.0.1./",
        "https://127.0.0.0x1/",
        "https://①②⑦.0.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:127.0.0.1]/",
        "https://[fe80::1%25lo]/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://10.0.0.1/",
        "https://192.168.0.1:8443/",
    ],
)
async def test_such_a_url_is_refused_before_anything_is_looked_up(
    guarded: HttpWebhookSender, url: str
) -> None:
    with pytest.raises(WebhookUrlRefused):
        guarded.check(url)
    told = await guarded.send(url, HEADERS, b"{}")
    assert told.status is None
    assert told.error


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hook?key=1",
        "https://sub_domain.example.co.uk/",
        "https://bücher.example/",
        "https://xn--bcher-kva.example/",
        "https://EXAMPLE.com./",
        f"https://{PUBLIC}/",
        "https://[2606:4700::1111]:8443/",
    ],
)
async def test_such_a_url_is_taken(guarded: HttpWebhookSender, url: str) -> None:
    guarded.check(url)


def answering(*lists: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that answers with these, one after the other; the last for ever."""
    left = list(lists)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "not an address"])
async def test_a_name_with_such_an_address_gets_no_connection(address: str) -> None:
    sender = HttpWebhookSender(resolve=answering([PUBLIC, address]))
    told = await sender.send("https://example.com/", HEADERS, b"{}")
    await sender.close()
    assert told.error == "the host has an address that is not public"


async def test_a_name_in_another_script_is_looked_up_as_it_was_read() -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    sender = HttpWebhookSender(resolve=resolve)
    told = await sender.send("https://bücher。example/", HEADERS, b"{}")
    await sender.close()
    assert asked == ["xn--bcher-kva.example"]
    assert told.error == "the host has an address that is not public"


async def test_the_systems_own_resolver_is_no_way_around() -> None:
    """`localhost`, and every number that inet_aton(3) takes for an address."""
    sender = HttpWebhookSender()
    for host in ("localhost", "localhost.localdomain"):
        told = await sender.send(f"https://{host}/", HEADERS, b"{}")
        assert told.error in (
            "the host has an address that is not public",
            "the host has no address",
        )
    assert not all([is_public(each) for each in await look_up("2130706433", 443)])  # noqa: C419
    await sender.close()


@asynccontextmanager
async def serving(
    answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads a request and answers with these bytes; (port, requests)."""
    came: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            came.append(head)
            writer.write(answer(head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], came


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: what was checked is what is connected to."""
    connected: list[str] = []

    async with serving(lambda _: OK) as (port, came):
        sender = HttpWebhookSender(resolve=answering([PUBLIC], ["127.0.0.1"]), limit_s=30)

        async def connect(
            self: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[str, int]
        ) -> None:
            connected.append(address[0])
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
        told = await sender.send(f"https://example.com:{port}/", HEADERS, b"{}")
        await sender.close()
    assert connected == [PUBLIC]
    assert told.status is None
    assert came == []


async def test_a_redirection_is_told_and_not_followed() -> None:
    async with serving(lambda _: OK) as (inner, came):
        away = (
            f"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{inner}/\r\n"
            "content-length: 0\r\n\r\n"
        )
        async with serving(lambda _: away.encode()) as (port, _):
            told = await send(f"http://127.0.0.1:{port}/")
    assert told.status == 307
    assert came == []


async def send(url: str, **given: object) -> Answered:
    """By a sender that may reach this machine."""
    sender = HttpWebhookSender(may_be_private=True, **given)  # type: ignore[arg-type]
    try:
        return await sender.send(url, HEADERS, b'{"a":1}')
    finally:
        await sender.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda _: OK) as (proxy, through), serving(lambda _: OK) as (port, came):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        told = await send(f"http://127.0.0.1:{port}/")
    assert told.status == 200
    assert (len(through), len(came)) == (0, 1)


async def test_the_request_has_the_name_and_what_was_given() -> None:
    async with serving(lambda _: OK) as (port, came):
        told = await send(f"http://example.com:{port}/a%20b?c=d", resolve=answering(["127.0.0.1"]))
    assert (told.status, told.answer, told.error) == (200, "ok", None)
    head = came[0].decode().lower()
    assert head.startswith("post /a%20b?c=d http/1.1\r\n")
    assert f"host: example.com:{port}\r\n" in head
    assert "webhook-id: del_1\r\n" in head
    assert "content-length: 7\r\n" in head


async def test_the_next_address_is_tried_where_one_does_not_connect() -> None:
    async with serving(lambda _: OK) as (port, came):
        resolve = answering(["127.0.0.2", "127.0.0.1"])
        told = await send(f"http://example.com:{port}/", resolve=resolve)
    assert told.status == 200
    assert len(came) == 1


async def test_a_long_answer_is_cut_and_a_packed_one_is_not_unpacked() -> None:
    endless = b"HTTP/1.1 500 No\r\ncontent-length: 9999999999\r\n\r\n" + b"x" * 200_000
    async with serving(lambda _: endless) as (port, _):
        told = await send(f"http://127.0.0.1:{port}/")
    assert (told.status, len(told.answer)) == (500, 1024)
    bomb = zlib.compress(bytes(10_000_000), 9)
    packed = b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(
        bomb
    )
    async with serving(lambda _: packed + bomb) as (port, _):
        told = await send(f"http://127.0.0.1:{port}/")
    assert told.status == 200
    assert len(told.answer) <= 1024
    assert "\0" not in told.answer


async def test_a_status_counts_although_the_rest_never_comes() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    async with serving(lambda _: half) as (port, _):
        told = await send(f"http://127.0.0.1:{port}/")
    assert (told.status, told.error, told.answer) == (200, None, "half")


@pytest.mark.parametrize("nonsense", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_what_is_no_answer_is_told_in_words(nonsense: bytes) -> None:
    async with serving(lambda _: nonsense) as (port, _):
        told = await send(f"http://127.0.0.1:{port}/")
    assert told.status is None
    assert told.error == "the answer is not HTTP"


async def test_a_closed_port_and_a_name_without_address_are_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        told = await send(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert told.error == "the connection failed"

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    assert (await send("http://example.com/", resolve=unknown)).error == "the host has no address"
    assert (await send("http://a.example/", resolve=answering([]))).error == (
        "the host has no address"
    )


async def test_a_server_that_resets_is_told() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        told = await send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert told.status is None
    assert told.error


async def test_the_whole_takes_no_longer_than_the_limit() -> None:
    """Also where the server sends a byte now and then, which no timeout of a read ends."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        told = await send(url, limit_s=0.4)
    assert told.status is None


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS with a certificate of this name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)  # noqa: TID251 - certificates have a time
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = directory / "cert.pem", directory / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain, secret)
    return server, ssl.create_default_context(cafile=chain)


async def test_the_certificate_must_be_of_the_name_although_an_address_is_connected_to(
    tmp_path: Path,
) -> None:
    server, client = certificate(tmp_path, "hooks.example")
    resolve = answering(["127.0.0.1"])
    async with serving(lambda _: OK, server) as (port, came):
        told = await send(f"https://hooks.example:{port}/", resolve=resolve, tls=client)
        assert (told.status, len(came)) == (200, 1)
        told = await send(f"https://other.example:{port}/", resolve=resolve, tls=client)
        assert told.status is None
        assert (told.error or "").startswith("its certificate is not accepted")
        told = await send(f"https://hooks.example:{port}/", resolve=resolve)
        assert (told.error or "").startswith("its certificate is not accepted")
        assert len(came) == 1


async def test_an_address_of_ipv6_can_be_sent_to() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    came: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    try:
        server = await asyncio.start_server(handle, "::1", 0)
    except OSError:
        pytest.skip("this machine has no ::1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await send(f"http://[::1]:{port}/")).status == 200
        told = await send(f"http://example.com:{port}/", resolve=answering(["::1"]))
    assert told.status == 200
    assert f"host: [::1]:{port}" in came[0].decode().lower()
    assert ipaddress.ip_address("::1").is_loopback
