"""A browser on operators' pages: it signs in, and reads what a page is made of."""

import re
from html.parser import HTMLParser

import httpx

from node.api.examples import BREAK_ID
from tests.api.fake_world import CONTRACT

HOME = "/operator/reconciliation"
FORM = {"Origin": "http://node", "Content-Type": "application/x-www-form-urlencoded"}
PAGES = (
    HOME,
    f"{HOME}/accounts",
    f"{HOME}/accounts/0x{CONTRACT.hex()}/USDC",
    f"{HOME}/breaks",
    f"{HOME}/breaks?status=open&code=B04",
    f"{HOME}/breaks/{BREAK_ID}",
    f"{HOME}/runs",
    "/operator/blocks/11",
)


async def sign_in(client: httpx.AsyncClient, key: str = "operator-key") -> httpx.Response:
    return await client.post("/operator/sign-in", headers=FORM, data={"key": key})


class Outline(HTMLParser):
    """What a page is made of: tags with their attributes, and text."""

    VOID = frozenset({"meta", "link", "input", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))
