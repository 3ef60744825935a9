"""Pages for operators: what is on them, what goes with them, and that nothing hostile gets in."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

import node.api.operator
from node.api.examples import BREAK_ID
from node.core.breaks import age_buckets
from node.core.paging import ListQuery, Page, Position
from node.core.ports.breaks import Break, OpenBreaks
from node.core.units import Address
from tests.api.browsing import HOME, PAGES, Outline, sign_in
from tests.api.conftest import RealNode
from tests.api.fake_breaks import A_BREAK
from tests.api.fake_operator import compared
from tests.api.fake_world import CONTRACT, NOW
from tests.api.fakes import FakeNode

HOSTILE = "<script>alert(1)</script>\"'&amp;{{7*7}}"
STYLE = Path(node.api.operator.__file__).parents[1] / "static" / "operator.css"


@pytest.fixture
async def signed(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser that is signed in."""
    assert (await sign_in(client)).status_code == 303
    return client


async def test_pages_run_no_script_ask_no_other_host_and_stand_in_no_frame(
    signed: httpx.AsyncClient,
) -> None:
    for path in (*PAGES, "/operator/sign-in", "/operator/nowhere"):
        page = await signed.get(path)
        assert page.status_code == (404 if path == "/operator/nowhere" else page.status_code)
        policy = page.headers["content-security-policy"]
        for promised in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert promised in policy
        assert "unsafe-inline" not in policy
        assert "script-src" not in policy
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["x-content-type-options"] == "nosniff"
        if page.status_code == 303:
            continue
        assert page.headers["cache-control"] == "no-store"
        outline = Outline(page.text)
        assert outline.count("script") == 0
        for tag, attributes in outline.tags:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            for name in ("href", "src", "action"):
                link = attributes.get(name) or "/"
                assert link.startswith(("/", "#")), f"{tag} {link}"
                assert not link.startswith("//")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", ["nowhere", "reconciliation/x/y/z", "%3Cscript%3E", "ledger/1/2"])
async def test_a_path_that_is_no_page_is_answered_by_a_page_with_a_way_back(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    answer = await client.request(method, f"/operator/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if method != "HEAD":
        outline = Outline(answer.text)
        assert "there is no such page" in outline.text
        assert ("a", {"href": HOME}) in outline.tags


async def test_the_root_of_the_pages_leads_to_the_first_of_them(client: httpx.AsyncClient) -> None:
    for path in ("/operator", "/operator/"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, HOME)


async def test_pages_have_landmarks_one_heading_and_tables_that_say_what_they_are(
    signed: httpx.AsyncClient,
) -> None:
    for path in PAGES:
        page = await signed.get(path)
        assert page.status_code == 200, page.text
        outline = Outline(page.text)
        assert dict(outline.tags)["html"] == {"lang": "en"}
        for tag in ("main", "header", "h1", "title"):
            wanted = 1
            assert outline.count(tag) == wanted, f"{path} {tag}"
        assert outline.count("caption") == outline.count("table")
        for tag, attributes in outline.tags:
            if tag == "th":
                assert attributes.get("scope") in ("row", "col")
            if tag == "svg":
                assert attributes["role"] == "img"
                assert attributes["aria-label"]
            if tag == "input":
                assert ("label", {"for": attributes["id"]}) in [
                    (name, {"for": given.get("for")}) for name, given in outline.tags
                ]
        identities = [given["id"] for _, given in outline.tags if "id" in given]
        assert len(identities) == len(set(identities))


async def test_every_link_of_a_page_leads_to_a_page(signed: httpx.AsyncClient) -> None:
    seen: set[str] = set()
    for path in PAGES:
        for tag, attributes in Outline((await signed.get(path)).text).tags:
            if tag in ("a", "link") and (link := attributes.get("href") or "").startswith("/"):
                seen.add(link)
    for link in sorted(seen):
        answer = await signed.get(link)
        # The fakes know of block 11 and of no ledger transaction; elsewhere a page must be.
        is_unknown = re.fullmatch(r"/operator/(blocks/(?!11$)|ledger/)[0-9]+", link)
        assert answer.status_code == (404 if is_unknown else 200), link


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2.2, 1 to 21."""

    def luminance(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(2 * each for each in color[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read_in_light_and_dark() -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block))
        for ink in ("ink", "quiet", "accent", "good", "bad", "warn"):
            for ground in ("page", "card", "soft"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for ink in ("good", "bad", "warn"):
            assert contrast(colours[ink], colours[f"{ink}-soft"]) >= 4.5, ink
        assert contrast(colours["ink"], colours["bad-soft"]) >= 4.5
        assert contrast(colours["quiet"], colours["bad-soft"]) >= 4.5
        for line in ("chain", "ledger"):
            assert contrast(colours[line], colours["card"]) >= 3


# -------------------------------------------------------------------------------------- content


async def test_figures_are_those_of_the_api(signed: httpx.AsyncClient, fake_node: FakeNode) -> None:
    fake_node.comparisons.found.append(
        compared(Address(b"\x7e" * 20), "USDC", 1_234_567_890_123, 1_234_567_890_122, "treasury")
    )
    key = {"Authorization": "Bearer operator-key"}
    told = (await signed.get("/v1/reconciliation/accounts", headers=key)).json()["data"]
    text = Outline((await signed.get(HOME)).text).text
    assert len(told) == 3
    for each in told:
        for name in ("ledger", "mirror", "chain"):
            whole, _, part = each[name].partition(".")
            assert f"{int(whole):,}.{part}" in text
    (off,) = [each for each in told if not each["equal"]]
    assert off["difference"] == "-0.000001"
    assert "\N{MINUS SIGN}0.000001" in text
    assert "1 of 3 accounts differ" in text
    assert "✕ differs" in text  # in words and by a sign, not by colour alone


async def test_an_open_break_says_by_which_commands_it_is_closed(
    signed: httpx.AsyncClient,
) -> None:
    (path,) = {each for each in PAGES if "/breaks/brk_" in each}
    shown = (await signed.get(path)).text
    identity = path.rpartition("/")[2]
    assert f"corridor breaks resolve {identity}" in shown
    assert f"corridor breaks approve {identity}" not in shown


async def test_many_accounts_are_shown_in_pages_those_that_differ_first(
    signed: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.comparisons.found = [
        compared(Address(n.to_bytes(20)), "USDC", n, n + (n == 250)) for n in range(1, 251)
    ]
    home = Outline((await signed.get(HOME)).text)
    assert "1 of 250 accounts differ" in home.text
    assert "All 250 accounts" in home.text
    path, seen = f"{HOME}/accounts", list[str]()
    for _ in range(6):
        page = Outline((await signed.get(path)).text)
        links = [given.get("href") or "" for tag, given in page.tags if tag == "a"]
        seen += [link for link in links if link.startswith(f"{HOME}/accounts/0x")]
        following = [link for link in links if "cursor=" in link]
        if not following:
            break
        path = following[0]
    assert len(seen) == len(set(seen)) == 250
    assert seen[0].lower() == f"{HOME}/accounts/0x{250:040x}/usdc"


async def test_only_operators_are_told_the_figures(client: httpx.AsyncClient) -> None:
    for key, status in (("partner-key", 403), ("remitter-key", 403), ("no", 401)):
        answer = await client.get(
            "/v1/reconciliation/accounts", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code == status


async def test_hostile_names_and_evidence_are_text(fake_node: FakeNode) -> None:
    hostile = replace(
        A_BREAK,
        summary=HOSTILE,
        expected=HOSTILE,
        actual=HOSTILE,
        cause=HOSTILE,
        next_action=HOSTILE,
        owner=HOSTILE,
        evidence={
            HOSTILE: HOSTILE,
            "block_number": f"1/../../{HOSTILE}",
            "ledger_sequence": "javascript:alert(1)",
            "transfer_id": f"tra_{HOSTILE}",
            "log": "//elsewhere/",
        },
    )

    class Hostile(ManyBreaks):
        async def get(self, break_id: str, /) -> Break:
            return hostile

    fake_node.breaks = Hostile([hostile])  # type: ignore[assignment]
    fake_node.blocks.facts = {HOSTILE: HOSTILE, "payment_number": HOSTILE}
    async with reopened(fake_node) as client:
        await sign_in(client)
        for path in (HOME, f"{HOME}/breaks", f"{HOME}/breaks/{BREAK_ID}", "/operator/blocks/11"):
            page = await client.get(path)
            assert page.status_code == 200
            outline = Outline(page.text)
            assert outline.count("script") == 0
            assert "<script>alert" in outline.text  # as text
            assert "{{7*7}}" in outline.text  # and no template
            for _, attributes in outline.tags:
                link = attributes.get("href") or "/"
                assert re.fullmatch(r"[/#][\w./?=&;#%-]*", link), link
                assert not link.startswith("//")


async def test_what_is_asked_for_in_a_path_or_a_query_is_text_too(
    signed: httpx.AsyncClient,
) -> None:
    for path in (
        "/operator/blocks/%3Cscript%3E",
        "/operator/find?q=%3Cscript%3Ealert(1)%3C/script%3E",
        f"{HOME}/runs/%3Cscript%3E",
        f"{HOME}/breaks?status=%3Cscript%3E",
        f"{HOME}/breaks?cursor=%3Cscript%3E",
        f"{HOME}/accounts/%3Cscript%3E/USDC",
        "/operator/ledger/%3Cscript%3E",
        "/operator/transfers/%3Cscript%3E",
    ):
        page = await signed.get(path)
        assert 400 <= page.status_code < 500, path
        assert page.headers["content-type"].startswith("text/html")
        assert Outline(page.text).count("script") == 0


@dataclass
class ManyBreaks:
    """As many open breaks as a test gives, in pages."""

    found: list[Break]

    async def page(self, query: ListQuery, /) -> Page[Break]:
        position = query.position()
        rows = sorted(self.found, key=lambda each: each.id.int, reverse=True)
        if position is not None:
            rows = [each for each in rows if each.id.int < position.id]
        return query.page(rows, lambda each: Position(each.first_seen_at, each.id.int))

    async def summary(self) -> list[OpenBreaks]:
        if not self.found:
            return []
        ages = dict.fromkeys(age_buckets(), 0) | {"0-1d": len(self.found)}
        return [OpenBreaks("B04", "warning", len(self.found), len(self.found), NOW, ages)]

    async def history(self, break_id: str, /) -> list[object]:
        return []


def reopened(fake_node: FakeNode) -> httpx.AsyncClient:
    from node.api.app import create_app
    from tests.api.conftest import open_client

    return open_client(create_app(fake_node.services))


async def test_a_thousand_breaks_are_counted_and_shown_in_pages(fake_node: FakeNode) -> None:
    many = [
        replace(A_BREAK, id=UUID(int=n), due_at=NOW, age=timedelta(minutes=n))
        for n in range(1, 1001)
    ]
    fake_node.breaks = ManyBreaks(many)  # type: ignore[assignment]
    async with reopened(fake_node) as client:
        await sign_in(client)
        text = Outline((await client.get(HOME)).text).text
        assert "1000 breaks are open, 1000 overdue" in text
        assert "All 1000 open breaks" in text
        path, seen = f"{HOME}/breaks?status=open", set[str]()
        for _ in range(30):
            page = await client.get(path)
            links = [
                given.get("href") or "" for tag, given in Outline(page.text).tags if tag == "a"
            ]
            seen |= {link for link in links if f"{HOME}/breaks/brk_" in link}
            older = [link for link in links if "cursor=" in link]
            if not older:
                break
            path = older[0]
        assert len(seen) == 1000


async def test_a_node_where_nothing_ever_happened_says_so(fake_node: FakeNode) -> None:
    fake_node.breaks = ManyBreaks([])  # type: ignore[assignment]
    fake_node.comparisons.found = []
    async with reopened(fake_node) as client:
        await sign_in(client)
        text = Outline((await client.get(HOME)).text).text
        for words in ("Nothing was compared yet", "No account was compared", "No break is open"):
            assert words in text
        assert "There is no such break" in (await client.get(f"{HOME}/breaks")).text
        assert (await client.get(f"{HOME}/accounts")).status_code == 200


async def test_the_chart_says_in_words_what_it_draws(
    signed: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    page = Outline((await signed.get(HOME)).text)
    assert "the ledger never differed" in page.text
    assert not [given for tag, given in page.tags if tag == "rect"]
    fake_node.comparisons.found[0] = compared(CONTRACT, "USDC", 50_000_000, 49_999_000, "contract")
    page = Outline((await signed.get(HOME)).text)
    assert "the ledger differed by up to 0.001000" in page.text
    assert [given for tag, given in page.tags if tag == "rect"]


async def test_what_is_looked_for_is_found_by_its_name(signed: httpx.AsyncClient) -> None:
    for asked, place in (
        (BREAK_ID, f"{HOME}/breaks/{BREAK_ID}"),
        ("tra_01abc", "/operator/transfers/tra_01abc"),
        (" 11 ", "/operator/blocks/11"),
    ):
        answer = await signed.get("/operator/find", params={"q": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, place)


async def test_a_page_of_a_real_node_is_there_before_its_mirror_has_begun(
    real_app: RealNode,
) -> None:
    client = real_app.client
    assert (await sign_in(client, real_app.operator)).status_code == 303
    page = await client.get(HOME)
    assert page.status_code == 200, page.text
    text = Outline(page.text).text
    assert "Nothing was compared yet" in text
    assert "The node is not ready" in text
    entries = await client.get("/operator/ledger/1")
    assert entries.status_code == 200
    assert "1,000.00 EUR" in Outline(entries.text).text
    assert (await client.get("/operator/blocks/1")).status_code == 404
