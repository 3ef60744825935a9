"""Documentation keeps its shape and its links."""

import re
from pathlib import Path

import pytest

from node.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "node" / "docs"
PAGES = sorted(
    [
        ROOT / "README.md",
        *DOCS.rglob("*.md"),
        *(ROOT / name / "README.md" for name in ("node", "adapters", "contracts")),
    ]
)
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))
SECTIONS = ("Context", "Decision", "Consequences", "Alternatives", "References")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=ids(DECISIONS))
def test_every_decision_has_its_status_date_and_sections(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"# {page.name[:4]} \S", text)
    assert re.search(r"^Status: (accepted|superseded by \d{4})$", text, re.MULTILINE)
    assert re.search(r"^Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(SECTIONS)


def test_decisions_are_numbered_once() -> None:
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for command in ("devnet up", "devnet down", "quote", "send", "watch", "reconcile", "verify"):
        assert f"corridor {command}" in text


def test_the_node_readme_has_every_setting_with_its_default_and_description() -> None:
    rows = re.findall(
        r"^\| `CORRIDOR_(\w+)` \| (.*?) \| (.+) \|$",
        (ROOT / "node" / "README.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [
        (name.upper(), default_of(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]


def default_of(value: object) -> str:
    """A default as one would write it into the environment; nothing where it is empty."""
    if value is None or value in ("", (), frozenset()):
        return ""
    return f"`{int(value)}`" if isinstance(value, bool) else f"`{value}`"


def test_glossary_defines_each_word_once() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (DOCS / "GLOSSARY.md").read_text(), re.MULTILINE)
    words = [row for row in rows if row != "word" and not row.startswith("-")]
    assert len(words) > 30
    assert len(set(words)) == len(words)


def test_changelog_has_a_section_for_what_is_not_released() -> None:
    assert "## Unreleased" in (DOCS / "CHANGELOG.md").read_text()
