"""Documentation without any other host, health, metrics."""

import hashlib
import re
from pathlib import Path

import httpx

import node.api
from tests.api.fakes import FakeNode

STATIC = Path(node.api.__file__).parent / "static"


def test_vendored_files_are_the_ones_that_were_checked_in_and_have_their_licence() -> None:
    lines = (line.split() for line in (STATIC / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}
    own = {"docs.css", "guide.css", "operator.css", "operator.svg", "SHA256SUMS"}
    vendored = {each.name for each in STATIC.iterdir()} - own
    assert vendored == {name for each in sums for name in (each, f"{each}.LICENSE.txt")}
    for name, expected in sums.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == expected


async def test_the_documentation_needs_no_other_host(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/docs/problems", "/docs/reference"):
        page = await client.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for reference in re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text):
            assert reference.startswith(("/", "#"))
            linked = await client.get(reference if reference.startswith("/") else path)
            assert linked.status_code == 200, reference


async def test_the_type_of_a_problem_leads_to_its_meaning(client: httpx.AsyncClient) -> None:
    problem = (await client.get("/v1/transfers")).json()
    path, _, anchor = problem["type"].partition("#")
    page = await client.get(path)
    assert f'<tr id="{anchor}">' in page.text


async def test_the_process_is_alive_whatever_else_is_away(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.health.ok = False
    assert (await client.get("/healthz")).json() == {"status": "alive"}


async def test_readiness_says_which_check_fails_and_why(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    assert (await client.get("/readyz")).json()["status"] == "ready"
    fake_node.health.ok = False
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert response.headers["retry-after"] == "1"
    assert response.json()["checks"] == [
        {"name": "chain", "ok": False, "detail": "no provider answers"}
    ]


async def test_requests_are_counted_by_template_and_strangers_make_no_series(
    client: httpx.AsyncClient,
) -> None:
    for n in range(3):
        await client.get(f"/v1/quotes/quo_{n}")
        await client.get(f"/nowhere/{n}")
        await client.request(f"VERB{n}", "/v1/quotes")
    figures = (await client.get("/metrics")).text
    counted = (
        'corridor_http_requests_total{method="GET",route="/v1/quotes/{quote_id}",status="401"}'
    )
    assert f"{counted} 3.0" in figures
    assert 'method="GET",route="none",status="404"} 3.0' in figures
    assert 'method="other",route="/v1/quotes",status="405"} 3.0' in figures
    assert "corridor_mirror_block 13.0" in figures
    assert "corridor_ready 1.0" in figures
