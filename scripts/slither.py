"""Slither over contracts/src, on what forge compiled; what it finds is explained or fails.

A finding is accepted on the line above what it points at, with its reason on the same line:

    // slither-disable-next-line missing-zero-check: zero means that nobody may

Exit status 1 when there is a finding, an accepted one without a reason, or an accepted one that is
no longer found. Slither has a virtual environment of its own (`setup.py`, from
contracts/slither.lock), because it needs a web3 that the node does not. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
SLITHER = ROOT / ".venv" / "slither" / "bin" / "slither"

EXCLUDED = {
    "naming-convention": "solhint has this rule, and counts immutables as constants",
    "assembly": "solhint has this rule (no-inline-assembly)",
    "timestamp": "caps and delays are of a day; who makes a block moves its time by seconds",
    "pragma": "libraries have pragmas of their own; solhint pins ours",
}
"""Detectors that are off everywhere, each with the reason."""

_DIRECTIVE = re.compile(r"slither-disable")
_EXPLAINED = re.compile(r"^\s*// slither-disable-next-line (?!all\b)[a-z0-9,-]+: \S.{9,}$")


def main() -> int:
    """Check; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--contracts", type=Path, default=CONTRACTS, help="a folder like contracts/ (default: it)"
    )
    contracts = parser.parse_args().contracts.resolve()
    unexplained = list(directives_without_reason(contracts / "src"))
    for each in unexplained:
        print(each)
    status = analyse(contracts)
    return 1 if unexplained or status else 0


def directives_without_reason(sources: Path) -> Iterator[str]:
    """`file:line: message` of each directive that is not of the form above."""
    for path in sorted(sources.rglob("*.sol")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if _DIRECTIVE.search(line) and not _EXPLAINED.match(line):
                yield (
                    f"{path.name}:{number}: accept a finding with "
                    "`// slither-disable-next-line DETECTOR: REASON`"
                )


def analyse(contracts: Path) -> int:
    """Build into a fresh folder and run Slither on that; its exit status."""
    forge = sorted((CONTRACTS / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    if not forge or not SLITHER.exists():
        sys.exit("forge or Slither is not installed.\nRemedy: python scripts/setup.py")
    with tempfile.TemporaryDirectory(prefix="corridor-slither-") as name:
        # Slither asks `forge` for the settings, so it must be found; both write only in here.
        environment = _environment(home=name, forge=forge[0].parent)
        built = subprocess.run(
            [
                *("forge", "build", "src", "--build-info", "--force"),
                *("--out", f"{name}/out", "--cache-path", f"{name}/cache"),
            ],
            cwd=contracts, env=environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if built.returncode != 0:
            print(built.stdout, built.stderr, sep="\n")
            return built.returncode
        return subprocess.run(
            [
                *(str(SLITHER), ".", "--ignore-compile", "--foundry-out-directory", f"{name}/out"),
                # A finding between our code and a library's counts; one inside a library does not.
                *("--include-paths", re.escape(f"{contracts.name}/src/")),
                *("--exclude", ",".join(EXCLUDED), "--warn-unused-ignores", "--disable-color"),
            ],
            cwd=contracts, env=environment, check=False,
        ).returncode  # fmt: skip


def _environment(*, home: str, forge: Path) -> Mapping[str, str]:
    inherited = dict(os.environ)  # noqa: TID251 - a script, not the node
    path = inherited.get("PATH", os.defpath)
    return {**inherited, "HOME": home, "PATH": f"{forge}{os.pathsep}{path}"}


if __name__ == "__main__":
    sys.exit(main())
