"""What every test may use: real servers (`tests.rig`) and Hypothesis profiles; what runs first."""

import os
from pathlib import Path
from typing import Final

import hypothesis
import pytest

pytest_plugins = ["tests.rig"]

_FIRST: Final = ("histories", "e2e", "chaos", "sandbox", "devnet", "cli", "services")
"""Folders whose files take long: the last file of a run, played beside nothing, should be short."""

hypothesis.settings.register_profile("dev", max_examples=100, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders of `_FIRST` first; each keeps its order."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)
