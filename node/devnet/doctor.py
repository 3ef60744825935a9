"""What is wrong with an installation, and how to mend it.

Each finding stands alone and none stops the others. Only looks; changes nothing. Not here: how it
is shown (`corridor doctor`), and whether the books are right (`corridor verify`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from node.bootstrap.comparing import check_login, check_settings
from node.config import load_settings
from node.core.errors import NodeError, Unavailable
from node.devnet import anvil, postgres
from node.devnet.errors import DevnetError
from node.devnet.programs import CHECKOUT
from node.devnet.rpc import call
from node.devnet.running import Description, describe
from node.devnet.state import StateDirectory
from node.devnet.status import readiness
from node.devnet.supervisor import is_ready, leftovers, supervisor_of

_PYTHON_MIN = (3, 11)
_DISK_FREE_MIN_GB = 1
_LIMIT_S = 10.0
_AWAY = "start what does not answer, or correct the setting that names it"
_LOGIN = "see `Running it` in node/README.md; `corridor devnet up` makes such a login by itself"
_INSTALL = "run ./scripts/demo, which installs what is missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it must be.
        detail: What was seen.
        remedy: How to mend it; empty when `ok`.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(state_dir: Path) -> list[Finding]:
    """Look at everything: the machine, the installed parts, and the devnet of a state directory."""
    state = StateDirectory(state_dir.absolute())
    findings = [
        _look("Python", _python),
        _look("PostgreSQL", lambda: _version(postgres.binary("postgres"), "")),
        _look("anvil", lambda: _version(anvil.binary("anvil"), anvil.VERSION)),
        _look("Node.js", _node_js),
        _look("contract artifacts", _artifacts),
        _look("disk", lambda: _disk(state)),
        _look("settings", lambda: _settings(state)),
        _look("leftover processes", lambda: _leftovers(state)),
    ]
    findings += _given_database(state)
    if not state.exists():
        return [*findings, Finding("devnet", ok=True, detail=f"none in {state.root}")]
    if not is_ready(state):
        return [*findings, Finding("devnet", ok=True, detail=f"not running in {state.root}")]
    description = describe(state.root)
    for node in description["nodes"]:
        findings += _databases(state, node, len(description["nodes"]))
    findings.append(_look("chain", lambda: _chain(description)))
    findings.append(_look("contracts on chain", lambda: _code(description)))
    return findings + _nodes(description)


def _look(name: str, check: Callable[[], str]) -> Finding:
    """What `check` saw, or what it raised."""
    try:
        return Finding(name, ok=True, detail=check())
    except DevnetError as error:
        remedy = error.remedy or "run `corridor devnet up`, which starts what is not running"
        return Finding(name, ok=False, detail=error.args[0], remedy=remedy)


def _python() -> str:
    shown = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _PYTHON_MIN:
        raise DevnetError(f"{shown} is too old", remedy="install Python 3.11 or later")
    return f"{shown}, {sys.executable}"


def _version(program: Path, expected: str) -> str:
    try:
        asked = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DevnetError(f"{program} does not run: {error}", remedy=_INSTALL) from error
    shown = asked.stdout.splitlines()[0]
    if expected not in shown:
        raise DevnetError(f"{shown}, but {expected} is meant", remedy=_INSTALL)
    return shown


def _node_js() -> str:
    """Only the tools for contracts need it."""
    found = shutil.which("node")
    return found or "none on PATH; needed only to compile and test contracts"


def _artifacts() -> str:
    """Compare the sources of this checkout with those that the committed artifacts came from."""
    compared = 0
    for name in ("TestPriceFeed", "TestUSD", "TransferSettlement"):
        try:
            text = resources.files("adapters.evm.artifacts").joinpath(f"{name}.json").read_text()
        except FileNotFoundError:
            raise DevnetError(f"{name}.json is missing", remedy="install Corridor anew") from None
        for path, expected in json.loads(text)["sources"].items():
            source = CHECKOUT / "contracts" / path
            if not source.exists():  # OpenZeppelin's lie elsewhere; a wheel has no sources at all
                continue
            if hashlib.sha256(source.read_bytes()).hexdigest() != expected:
                raise DevnetError(
                    f"{path} has changed since {name}.json was made",
                    remedy="run scripts/compile_contracts.py",
                )
            compared += 1
    return f"as committed, {compared} sources compared"


def _disk(state: StateDirectory) -> str:
    place = next(path for path in (state.root, *state.root.parents) if path.exists())
    free_gb = shutil.disk_usage(place).free // 10**9
    if free_gb < _DISK_FREE_MIN_GB:
        raise DevnetError(
            f"{free_gb} GB free at {place}",
            remedy="free some room, or give another place with --state-dir",
        )
    return f"{free_gb} GB free at {place}"


def _settings(state: StateDirectory) -> str:
    """Check what `serve` does. Where the settings that it needs are not set, the rest of them."""
    try:
        settings = load_settings(state_dir=state.root)
        asyncio.run(check_settings(settings))
    except Unavailable as error:
        raise DevnetError(error.detail, remedy=_AWAY) from error
    except NodeError as error:
        raise DevnetError(error.detail, remedy="correct the environment") from error
    if not settings.given:
        return "valid, nothing but defaults"
    return f"valid; set: {', '.join(settings.given)}"


def _login(state: StateDirectory, **given: str) -> str:
    """A login that owns the tables could change what was booked."""
    try:
        asyncio.run(check_login(load_settings(state_dir=state.root, **given)))
    except Unavailable as error:
        raise DevnetError(error.detail, remedy=_AWAY) from error
    except NodeError as error:
        raise DevnetError(error.detail, remedy=_LOGIN) from error
    return "may read, and book; may not change what is booked"


def _given_database(state: StateDirectory) -> list[Finding]:
    """What the environment's login may do, where it names a database."""
    try:
        settings = load_settings(state_dir=state.root)
    except NodeError:
        return []  # told already
    if "CORRIDOR_DATABASE_URL" not in settings.given:
        return []
    return [_look("CORRIDOR_DATABASE_URL", lambda: _login(state))]


def _leftovers(state: StateDirectory) -> str:
    left = leftovers(state)
    if left and supervisor_of(state) is None:
        shown = ", ".join(f"{name} (pid {identity.pid})" for name, identity in left.items())
        raise DevnetError(
            f"running without a supervisor: {shown}",
            remedy="run `corridor devnet down`, which ends exactly these",
        )
    return "none"


def _databases(state: StateDirectory, node: Mapping[str, Any], nodes: int) -> list[Finding]:
    """One node's database, and what its login may do there."""
    of = f" of {node['name']}" if nodes > 1 else ""
    url = str(node["database_url"])
    return [
        _look(f"database{of}", lambda: _database(state, url)),
        _look(f"database login{of}", lambda: _login(state, database_url=url)),
    ]


def _database(state: StateDirectory, url: str) -> str:
    parts = urlsplit(url)
    server = postgres.Postgres(state.postgres, parts.port or 0, state.log("postgres"))
    try:
        found = server.sql("SELECT version_num FROM alembic_version", database=parts.path[1:])
    except DevnetError as error:
        raise DevnetError(error.args[0], remedy=f"read {state.log('postgres')}") from error
    return f"answers on port {parts.port}, schema {found}"


def _chain(description: Description) -> str:
    url, expected = description["chain"]["rpc_url"], description["chain"]["chain_id"]
    chain_id = int(call(url, "eth_chainId"), 16)
    if chain_id != expected:
        raise DevnetError(
            f"{url} is chain {chain_id}, not {expected}",
            remedy="run `corridor devnet down`, then `corridor devnet up`",
        )
    return f"{url} is at block {int(call(url, 'eth_blockNumber'), 16)}"


def _code(description: Description) -> str:
    url = description["chain"]["rpc_url"]
    contracts = dict(description["contracts"])
    for node in description["nodes"][1:]:
        contracts[f"settlement of {node['name']}"] = node["settlement"]
    for name, address in contracts.items():
        if call(url, "eth_getCode", address, "latest") == "0x":
            raise DevnetError(
                f"there is no contract {name} at {address}",
                remedy="run `corridor devnet down --wipe`, then `corridor devnet up`",
            )
    return "there"


def _nodes(description: Description) -> list[Finding]:
    """Every node's own readiness checks."""
    findings: list[Finding] = []
    remedy = "run `corridor devnet up`, and read the logs of serve and work"
    for node in description["nodes"]:
        name = f"node {node['name']}"
        with httpx.Client(base_url=node["url"], timeout=_LIMIT_S, trust_env=False) as client:
            try:
                checks = readiness(client)
            except DevnetError as error:
                findings.append(Finding(name, ok=False, detail=error.args[0], remedy=remedy))
                continue
            findings += [
                Finding(f"{name}: {each.name}", each.ok, each.detail, remedy * (not each.ok))
                for each in checks
            ]
            findings += _quoting(name, client, node["keys"]["operator"])
    return findings


def _quoting(name: str, client: httpx.Client, operator_key: str) -> list[Finding]:
    """Faulty rate sources, corridors without a rate, halts of quoting: what operators see."""
    try:
        answer = client.get("/v1/fx", headers={"Authorization": f"Bearer {operator_key}"})
        answer.raise_for_status()
        state = answer.json()
    except httpx.HTTPError as error:
        remedy = "run `corridor fx`, which says more"
        return [Finding(f"{name}: rates", ok=False, detail=str(error), remedy=remedy)]
    faults = [f"{each['name']}: {each['fault']}" for each in state["sources"] if each["fault"]]
    faults += [
        f"{each['sell']}/{each['buy']}: {each['fault']}"
        for each in state["corridors"]
        if each["mid_rate"] is None
    ]
    halts = [f"{each['currency'] or 'everything'} ({each['reason']})" for each in state["halts"]]
    return [
        Finding(
            f"{name}: rates",
            ok=not faults,
            detail="; ".join(faults) or "every source answers, every corridor has a rate",
            remedy="`corridor fx` says more; CORRIDOR_FX_SOURCES names the sources" * bool(faults),
        ),
        Finding(
            f"{name}: quoting",
            ok=not halts,
            detail=f"halted: {', '.join(halts)}" if halts else "nothing is halted",
            remedy="look why with `corridor fx`, then `corridor fx resume`" * bool(halts),
        ),
    ]
