"""Every check and test of the repository, in order; stops at the first that fails.

    ./scripts/test                    all checks, then all tests
    ./scripts/test tests/core -x      all checks, then pytest with these arguments
    ./scripts/test --only-pytest ...  pytest with these arguments and nothing else
    ./scripts/test --no-pytest        the checks alone

Exit status: 0 when everything passed, else that of what failed. pytest comes last and its closing
line is the last one printed. Not here: set-up (`setup.py`, which runs this in .venv/).
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / "home"

EVERYTHING = ["--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
"""All tests, side by side; the tests of a file stay in one process, for they share servers."""


@dataclass(frozen=True)
class Check:
    """One check: what it is about, its command, where it runs."""

    name: str
    command: list[str]
    cwd: Path = ROOT


def main() -> None:
    """Run the checks, then become pytest."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["--help"], ["-h"]):
        print(__doc__)
        return
    if arguments[:1] != ["--only-pytest"]:
        for check in checks():
            run(check)
    if arguments[:1] == ["--no-pytest"]:
        return
    rest = arguments[1:] if arguments[:1] == ["--only-pytest"] else arguments
    print("== tests", flush=True)
    pytest = [sys.executable, "-m", "pytest", *(rest or EVERYTHING)]
    os.execve(sys.executable, pytest, environment())  # noqa: S606 - no shell is the point


def checks() -> list[Check]:
    """Quick ones first."""
    python, tools = sys.executable, Path(sys.executable).parent
    forge = sorted((ROOT / "contracts" / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    if not forge:
        sys.exit("forge is not installed.\nRemedy: npm ci --ignore-scripts in contracts/")
    contracts = ROOT / "contracts"
    return [
        Check("format", [str(tools / "ruff"), "format", "--check", "."]),
        Check("lint", [str(tools / "ruff"), "check", "."]),
        Check("house rules", [python, "scripts/tidy.py"]),
        Check("types", [str(tools / "mypy")]),
        Check("layers", [str(tools / "lint-imports")]),
        Check("contracts: format", [str(forge[0]), "fmt", "--check"], contracts),
        Check(
            "contracts: solhint",
            ["node_modules/.bin/solhint", "--max-warnings", "0", "--disc", "src/**/*.sol"],
            contracts,
        ),
        Check("contracts: Slither", [python, "scripts/slither.py"]),
        Check("contracts: tests", [str(forge[0]), "test"], contracts),
    ]


def run(check: Check) -> None:
    """Run one check; its output is shown when it fails."""
    print(f"== {check.name}", end=" ", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        check.command, cwd=check.cwd, env=environment(), check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode == 0:
        print(f"passed in {seconds:.1f} s", flush=True)
        return
    print(f"FAILED after {seconds:.1f} s", flush=True)
    sys.stdout.buffer.write(done.stdout)
    sys.stdout.flush()
    shown = " ".join(check.command).replace(f"{ROOT}/", "")
    print(f"\nThe check '{check.name}' failed. Alone: (cd {check.cwd} && {shown})", flush=True)
    sys.exit(done.returncode if done.returncode > 0 else 1)


def environment() -> dict[str, str]:
    """The caller's environment, with a home inside .venv/: tools leave nothing elsewhere."""
    HOME.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(HOME)}  # noqa: TID251 - a script, not the node


if __name__ == "__main__":
    main()
