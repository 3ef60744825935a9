"""import-linter catches each kind of breach; planted in a copy of the product."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BREACHES = (
    ("core-pure", "node/core/errors.py", "import os"),
    ("core-inner", "node/core/errors.py", "import node.core.units"),
    ("house", "node/core/errors.py", "import node.services"),
    ("services-through-ports", "node/services/__init__.py", "import sqlalchemy"),
    ("client-light", "node/client/errors.py", "import node.api"),
    ("store-sealed", "node/api/__init__.py", "import node.store"),
    ("adapters-sealed", "node/api/__init__.py", "import adapters.evm"),
    ("config-sealed", "node/services/__init__.py", "import node.config"),
    ("processes-sealed", "node/cli/console.py", "import subprocess"),
    ("adapters-independent", "adapters/fx/__init__.py", "import adapters.evm"),
    ("house-exhaustive", "node/attic.py", ""),
)


def broken(root: Path, contract: str) -> bool:
    ended = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--config",
            root / "pyproject.toml",
            "--contract",
            contract,
            "--no-cache",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in ended.stdout, ended.stdout + ended.stderr
    return ended.returncode != 0


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in ("node", "adapters"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.json", "static"))
    return root


@pytest.mark.parametrize(("contract", "path", "line"), BREACHES, ids=[each[0] for each in BREACHES])
def test_a_planted_breach_is_caught(copy: Path, contract: str, path: str, line: str) -> None:
    file = copy / path
    before = file.read_text() if file.exists() else None
    assert not broken(copy, contract)
    try:
        file.write_text(f"{before or ''}\n{line}\n")
        assert broken(copy, contract)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
