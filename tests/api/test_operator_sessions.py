"""Who may see operators' pages: sessions, cookies, and forms of other sites."""

import httpx
import pytest

from tests.api.browsing import FORM, HOME, PAGES, Outline, sign_in
from tests.api.conftest import RealNode
from tests.api.fakes import FakeNode
from tests.rig import PostgresServer


@pytest.fixture
async def signed(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser that is signed in."""
    assert (await sign_in(client)).status_code == 303
    return client


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_shown_without_a_session(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.status_code == 401
    assert "www-authenticate" not in page.headers  # a browser would open a box of its own
    assert "Operator" in Outline(page.text).text
    assert "USDC" not in page.text


async def test_the_key_is_sent_once_and_a_cookie_of_another_secret_stands_for_it(
    client: httpx.AsyncClient,
) -> None:
    answer = await sign_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, HOME)
    cookie = answer.headers["set-cookie"]
    assert "operator-key" not in str(answer.headers) + answer.text
    for promised in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert promised in cookie
    assert "Secure" not in cookie  # this browser came by plain http
    assert (await client.get(HOME)).status_code == 200


async def test_a_browser_that_came_by_https_keeps_the_cookie_for_https_alone(
    client: httpx.AsyncClient,
) -> None:
    headers = {**FORM, "Origin": "https://node", "Sec-Fetch-Site": "same-origin"}
    answer = await client.post("/operator/sign-in", headers=headers, data={"key": "operator-key"})
    assert answer.headers["set-cookie"].startswith("__Host-corridor_operator=")
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("nobody-knows-this", 403, "not known"),
        ("partner-key", 403, "not an operator"),
        ("remitter-key", 403, "not an operator"),
        ("", 400, "Paste"),
        ("x" * 257, 400, "Paste"),
        ("ключ", 400, "Paste"),
    ],
)
async def test_a_key_that_opens_nothing_is_told_so_and_not_shown(
    client: httpx.AsyncClient, key: str, status: int, words: str
) -> None:
    answer = await sign_in(client, key)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert words in Outline(answer.text).text
    assert not key or key not in answer.text
    assert (await client.get(HOME)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://elsewhere"},
        {"Origin": "null"},
        {"Origin": "http://node.elsewhere"},
        {"Origin": "http://node", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://node", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://[::1"},
    ],
)
@pytest.mark.parametrize("path", ["/operator/sign-in", "/operator/sign-out"])
async def test_forms_of_other_sites_do_nothing(
    client: httpx.AsyncClient, fake_node: FakeNode, path: str, headers: dict[str, str]
) -> None:
    await sign_in(client)
    answer = await client.post(path, headers=headers, data={"key": "operator-key"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert len(fake_node.sessions.owners) == 1
    assert (await client.get(HOME)).status_code == 200


async def test_signing_out_ends_the_session_and_not_only_the_cookie(
    signed: httpx.AsyncClient,
) -> None:
    token = signed.cookies["corridor_operator"]
    answer = await signed.post("/operator/sign-out", headers=FORM)
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    kept = {"Cookie": f"corridor_operator={token}"}
    assert (await signed.get(HOME, headers=kept)).status_code == 401


async def test_a_browser_that_signs_in_again_has_one_session(
    signed: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    before = signed.cookies["corridor_operator"]
    assert (await sign_in(signed)).status_code == 303
    assert signed.cookies["corridor_operator"] != before
    assert list(fake_node.sessions.owners) == [signed.cookies["corridor_operator"]]


@pytest.mark.parametrize("cookie", ["corridor_operator=", "corridor_operator=x", 'a="b; c', "\xff"])
async def test_a_cookie_of_any_form_is_no_session(client: httpx.AsyncClient, cookie: str) -> None:
    page = await client.get(HOME, headers=[(b"cookie", cookie.encode("latin-1"))])
    assert page.status_code == 401


async def test_a_revoked_key_ends_its_sessions_at_once(
    real_app: RealNode, database_url: str, postgres_server: PostgresServer
) -> None:
    client = real_app.client
    assert (await sign_in(client, real_app.operator)).status_code == 303
    assert (await client.get(f"{HOME}/breaks")).status_code == 200
    postgres_server.sql(
        database_url, "UPDATE credential SET revoked_at = now() WHERE role = 'operator'"
    )
    assert (await client.get(f"{HOME}/breaks")).status_code == 401
    client.cookies.clear()
    assert (await sign_in(client, real_app.operator)).status_code == 403


async def test_a_partners_key_opens_no_session_of_a_real_node(real_app: RealNode) -> None:
    assert (await sign_in(real_app.client, real_app.partner)).status_code == 403
