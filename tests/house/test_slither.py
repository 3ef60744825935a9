"""The check with Slither finds faults, and accepts none without a reason."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.slither import CONTRACTS, ROOT, SLITHER, directives_without_reason

needs_slither = pytest.mark.skipif(
    not SLITHER.exists(), reason="Slither is not installed: python scripts/setup.py"
)
DIRECTIVE = "// slither-disable-next-line missing-zero-check"
REASON = ": zero means that nobody may"
CONTRACT = """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.37;

contract Owned {{
    address public owner;

    {above}
    constructor(address first) {{
        {inside}
        owner = first;
    }}

    function leave() external {{
        if (msg.sender == owner) owner = address(0);
    }}
}}
"""


def sources(directory: Path, **inserted: str) -> Path:
    text = CONTRACT.format(**{"above": "", "inside": ""} | inserted)
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "Owned.sol").write_text(text)
    return directory


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        (DIRECTIVE + REASON, True),
        (DIRECTIVE, False),
        (DIRECTIVE + ": ok", False),
        ("// slither-disable-next-line all" + REASON, False),
        ("// slither-disable-start missing-zero-check" + REASON, False),
        ("// an ordinary comment", True),
    ],
)
def test_a_finding_is_accepted_line_by_line_and_with_a_reason(
    tmp_path: Path, line: str, *, accepted: bool
) -> None:
    found = list(directives_without_reason(sources(tmp_path, above=line) / "src"))
    assert (found == []) is accepted


@needs_slither
@pytest.mark.parametrize(
    ("inserted", "status", "said"),
    [
        ({}, 1, "missing-zero-check"),
        ({"above": DIRECTIVE + REASON}, 0, ""),
        ({"above": DIRECTIVE + REASON, "inside": "require(first != address(0));"}, 1, "Unused"),
    ],
)
def test_what_slither_finds_fails_unless_the_source_explains_it(
    tmp_path: Path, inserted: dict[str, str], status: int, said: str
) -> None:
    contracts = sources(tmp_path / "contracts", **inserted)
    shutil.copy(CONTRACTS / "foundry.toml", contracts)
    (contracts / "solc").symlink_to(CONTRACTS / "solc")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "slither.py", "--contracts", contracts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
