"""A fake node, and the command line run in this process against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from node.cli import main
from tests.cli.fake_node import TOKEN, FakeNode, serving


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with serving(FakeNode()) as fake:
        yield fake


@pytest.fixture
def run(
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Run `corridor ...` as somebody with the fake node's URL and credential."""
    monkeypatch.setenv("CORRIDOR_URL", node.url)
    monkeypatch.setenv("CORRIDOR_TOKEN", TOKEN)
    monkeypatch.setenv("CORRIDOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")

    def run_once(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    yield run_once
    structlog.reset_defaults()  # a command's logs went to a stream that ends with its test
