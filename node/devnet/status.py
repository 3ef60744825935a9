"""How a devnet is: which processes run since when, where the chain and each node stand.

Only looks. Not here: what is wrong with an installation, and how to mend it (`doctor.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from node.devnet.errors import DevnetError
from node.devnet.programs import ProcessId
from node.devnet.rpc import call
from node.devnet.running import describe
from node.devnet.state import StateDirectory, read_json
from node.devnet.supervisor import is_ready, leftovers, supervisor_of

_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a node's own readiness."""

    name: str
    ok: bool
    detail: str


class DevnetState(StrEnum):
    """Of a whole devnet."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    LEFT = "left"  # programs run, and the one who looked after them does not


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program that was started.

    Attributes:
        node: Whose it is; None: of all nodes.
        pid: None: it has ended, and is perhaps about to be started again.
        since: When it began, RFC 3339.
    """

    name: str
    node: str | None
    pid: int | None
    since: str | None


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """The chain; `head` is its newest block, None: it does not answer."""

    rpc_url: str
    chain_id: int
    head: int | None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node.

    Attributes:
        ready: Whether it can do its work; `why_not`: what hinders it, a sentence each.
        head: Newest block of its mirror; None: not known.
        final: Newest block of it that is final.
        lag_blocks: Blocks of the chain that the mirror has not yet.
    """

    name: str
    url: str
    ready: bool
    why_not: Sequence[str]
    head: int | None
    final: int | None
    lag_blocks: int | None


@dataclass(frozen=True, slots=True)
class DevnetStatus:
    """All of it.

    Attributes:
        pid: Of the supervisor; None: there is none.
        since: When the supervisor began, RFC 3339.
    """

    state_dir: str
    state: DevnetState
    pid: int | None = None
    since: str | None = None
    programs: Sequence[ProgramStatus] = ()
    chain: ChainStatus | None = None
    nodes: Sequence[NodeStatus] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether everything runs and every node is ready."""
        return (
            self.state is DevnetState.RUNNING
            and all(each.pid is not None for each in self.programs)
            and all(each.ready for each in self.nodes)
        )


def status(state_dir: Path) -> DevnetStatus:
    """How the devnet of a state directory is.

    Raises:
        DevnetError: A file of the directory is damaged.
    """
    place = StateDirectory(state_dir.absolute())
    supervisor, living = supervisor_of(place), leftovers(place)
    if supervisor is None and not living:
        return DevnetStatus(str(place.root), DevnetState.STOPPED)
    description = describe(place.root)
    chain = _chain(description["chain"]) if description else None
    return DevnetStatus(
        state_dir=str(place.root),
        state=_state(place, supervisor),
        pid=None if supervisor is None else supervisor.pid,
        since=_since(supervisor),
        programs=[_program(place, name, living.get(name)) for name in _started(place)],
        chain=chain,
        nodes=[_node(each, chain) for each in description.get("nodes", ())],
    )


def readiness(client: httpx.Client) -> Sequence[Check]:
    """What a node's `/readyz` says.

    Args:
        client: Its base URL is the node's.

    Raises:
        DevnetError: Nothing answers, or what answers is no node.
    """
    try:
        checks = client.get("/readyz").json()["checks"]
        return [Check(str(each["name"]), bool(each["ok"]), str(each["detail"])) for each in checks]
    except httpx.HTTPError as error:
        raise DevnetError(f"{client.base_url} does not answer: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DevnetError(f"what answers at {client.base_url} is no node") from error


def owner_of(place: StateDirectory, program: str) -> str | None:
    """Which node a program is of, by its name; None: all share it."""
    first, *further = place.node_names
    if program in ("serve", "work"):
        return first
    return next((name for name in further if program.startswith(f"{name}-")), None)


def _state(place: StateDirectory, supervisor: ProcessId | None) -> DevnetState:
    if supervisor is None:
        return DevnetState.LEFT
    return DevnetState.RUNNING if is_ready(place) else DevnetState.STARTING


def _started(place: StateDirectory) -> Sequence[str]:
    return list(read_json(place.processes).get("programs", {}))


def _program(place: StateDirectory, name: str, identity: ProcessId | None) -> ProgramStatus:
    pid = None if identity is None else identity.pid
    return ProgramStatus(name, owner_of(place, name), pid, _since(identity))


def _since(identity: ProcessId | None) -> str | None:
    began = None if identity is None else identity.since
    return None if began is None else began.strftime("%Y-%m-%dT%H:%M:%SZ")


def _chain(told: Mapping[str, Any]) -> ChainStatus:
    url = str(told["rpc_url"])
    try:
        head = int(call(url, "eth_blockNumber", limit_s=_LIMIT_S), 16)
    except DevnetError:
        head = None
    return ChainStatus(url, int(told["chain_id"]), head)


def _node(told: Mapping[str, Any], chain: ChainStatus | None) -> NodeStatus:
    """What the node itself says."""
    name, url = str(told["name"]), str(told["url"])
    head = final = lag_blocks = None
    with httpx.Client(base_url=url, timeout=_LIMIT_S, trust_env=False) as client:
        try:
            why_not = [f"{each.name}: {each.detail}" for each in readiness(client) if not each.ok]
            head, final = _mirrored(client, str(told["keys"]["operator"]))
        except DevnetError as error:
            why_not = [error.args[0]]
        except httpx.HTTPError as error:
            why_not = [f"{url} does not answer: {error}"]
    if chain is not None and chain.head is not None and head is not None:
        lag_blocks = max(0, chain.head - head)  # the chain was asked first
    return NodeStatus(name, url, not why_not, why_not, head, final, lag_blocks)


def _mirrored(client: httpx.Client, operator_key: str) -> tuple[int | None, int | None]:
    """Newest and final block of a node's mirror, as an operator is told them."""
    answer = client.get("/v1/mirror", headers={"Authorization": f"Bearer {operator_key}"})
    if not answer.is_success:
        return None, None
    found = answer.json()
    return _number(found["head"]), _number(found["final"])


def _number(block: Mapping[str, Any] | None) -> int | None:
    return None if block is None else int(block["block_number"])
