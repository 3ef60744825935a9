"""The distribution: import names, the command, the tree, the licence."""

import importlib
import importlib.metadata
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "corridor-node"
TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements.lock",
    "node",
    "adapters",
    "contracts",
    "tests",
    "scripts",
}


@pytest.mark.parametrize("name", ["node", "adapters"])
def test_import_names_belong_to_this_checkout_and_to_no_other_distribution(name: str) -> None:
    # PyPI has other distributions with these import names; pip would overwrite one silently.
    owners = importlib.metadata.packages_distributions().get(name, [DISTRIBUTION])
    file = importlib.import_module(name).__file__
    assert set(owners) == {DISTRIBUTION}
    assert file is not None
    assert Path(file).is_relative_to(ROOT)


def test_the_command_is_called_corridor_and_nothing_else() -> None:
    scripts = {
        entry.name: entry.value
        for entry in importlib.metadata.distribution(DISTRIBUTION).entry_points
        if entry.group == "console_scripts"
    }
    assert scripts == {"corridor": "node.cli:main"}


def test_the_top_level_holds_only_what_was_decided() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - {"__pycache__"} <= TOP_LEVEL
    assert found >= TOP_LEVEL


def test_every_product_package_ships_its_types() -> None:
    for name in ("node", "adapters"):
        assert (ROOT / name / "py.typed").is_file()


def test_every_folder_with_modules_is_a_regular_package() -> None:
    folders = {
        path.parent
        for name in ("node", "adapters")
        for path in (ROOT / name).rglob("*.py")
        if "migrations" not in path.parts
    }
    assert [str(each) for each in sorted(folders) if not (each / "__init__.py").is_file()] == []


def test_the_licence_is_the_one_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
