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
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / "home"

EVERYTHING = [
    *["--numprocesses", "auto", "--maxprocesses", "4"],
    *["--dist", "loadfile", "--no-loadscope-reorder"],
]
"""All tests, side by side; the tests of a file stay in one process, for they share servers. Files
are given out in the order of collection: `tests/conftest.py` has long ones first."""


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
        *others, slowest = checks()
        with started(slowest) as running:  # it keeps one core busy, and takes as long as the others
            for check in others:
                run(check)
            running.finish()
    if arguments[:1] == ["--no-pytest"]:
        return
    rest = arguments[1:] if arguments[:1] == ["--only-pytest"] else arguments
    print("== tests", flush=True)
    pytest = [sys.executable, "-m", "pytest", *(rest or EVERYTHING)]
    os.execve(sys.executable, pytest, environment())  # noqa: S606 - no shell is the point


def checks() -> list[Check]:
    """Quick ones first; the last is the slowest."""
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


@dataclass(frozen=True)
class Running:
    """A check that was started; what it prints is kept until it ends."""

    check: Check
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    began: float

    def finish(self) -> None:
        """Wait for it; its output is shown when it fails, and everything ends."""
        check = self.check
        print(f"== {check.name}", end=" ", flush=True)
        status = self.process.wait()
        seconds = time.monotonic() - self.began
        if status == 0:
            print(f"passed in {seconds:.1f} s", flush=True)
            return
        print(f"FAILED after {seconds:.1f} s", flush=True)
        self.output.seek(0)
        sys.stdout.buffer.write(self.output.read())
        sys.stdout.flush()
        shown = " ".join(check.command).replace(f"{ROOT}/", "")
        print(f"\nThe check '{check.name}' failed. Alone: (cd {check.cwd} && {shown})", flush=True)
        sys.exit(status if status > 0 else 1)


@contextmanager
def started(check: Check) -> Iterator[Running]:
    """Start a check; it is ended with the block, whatever has become of it."""
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            check.command, cwd=check.cwd, env=environment(),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        try:
            yield Running(check, process, output, began)
        finally:
            process.kill()


def run(check: Check) -> None:
    """Start a check and wait for it."""
    with started(check) as running:
        running.finish()


def environment() -> dict[str, str]:
    """The caller's environment, with a home inside .venv/: tools leave nothing elsewhere."""
    HOME.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(HOME)}  # noqa: TID251 - a script, not the node


if __name__ == "__main__":
    main()
