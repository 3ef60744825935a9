"""Which node a command talks to, and as whom.

`CORRIDOR_URL` and `CORRIDOR_TOKEN` win; otherwise the `devnet.json` of the state directory, which
`corridor devnet up` writes (`node.devnet`). Not here: HTTP itself.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.cli.faults import Fault, Status

DEFAULT_STATE_DIR: Final = Path(".corridor")


def suffix(state_dir: Path) -> str:
    """The option that names this state directory; empty for the default one."""
    is_default = state_dir == DEFAULT_STATE_DIR
    return "" if is_default else f" --state-dir {shlex.quote(str(state_dir))}"


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line and the environment say about the node.

    Attributes:
        state_dir: Holds `devnet.json`, and the sends whose answer is missing.
    """

    url: str | None
    token: str | None
    state_dir: Path

    def command(self, text: str) -> str:
        """`text` as a command that reaches the same node when it is typed in the same place."""
        return text + suffix(self.state_dir)


@dataclass(frozen=True, slots=True)
class Connection:
    """A node and a bearer credential for it.

    Attributes:
        customer: The devnet's customer that is spoken for, if it is one (`name`, `country`...).
    """

    url: str
    token: str
    customer: Mapping[str, Any] | None = None


def operator(where: Where) -> Connection:
    """Speak as operator of the devnet's node, or with the credential given."""
    given = _given(where)
    if given is not None:
        return given
    node = devnet_node(where.state_dir)
    return Connection(_url(node), where.token or str(node["keys"]["operator"]))


def customer(where: Where, customer_id: str | None) -> Connection:
    """Speak as a customer of the devnet; as its partner when no customer is named.

    A customer that `devnet.json` does not list was made later, by the partner.
    """
    given = _given(where)
    if given is not None:
        return given
    node = devnet_node(where.state_dir)
    for each in node["customers"]:
        if each["id"] == customer_id:
            return Connection(_url(node), where.token or str(each["token"]), each)
    return Connection(_url(node), where.token or str(node["keys"]["partner"]))


def _given(where: Where) -> Connection | None:
    if not where.url:
        return None
    if not where.token:  # the devnet's keys are for the devnet, not for a stranger's URL
        raise Fault(
            "CORRIDOR_URL is set and CORRIDOR_TOKEN is not",
            remedy="set both, or neither to use the devnet of the state directory",
            status=Status.USAGE,
        )
    return Connection(where.url.rstrip("/"), where.token)


def _url(node: Mapping[str, Any]) -> str:
    return str(node["url"]).rstrip("/")


def devnet_node(state_dir: Path) -> Mapping[str, Any]:
    """The first node of `devnet.json`.

    Raises:
        Fault: There is no such file, or it is not one of ours.
    """
    path = state_dir / "devnet.json"
    try:
        nodes: Sequence[Mapping[str, Any]] = json.loads(path.read_bytes())["nodes"]
        return nodes[0]
    except FileNotFoundError:
        raise Fault(
            f"no node to talk to: there is no {path}",
            remedy="start a local one with `corridor devnet up`, or set CORRIDOR_URL and"
            " CORRIDOR_TOKEN",
            status=Status.AWAY,
        ) from None
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Fault(
            f"{path} cannot be used: {error}",
            remedy="`corridor devnet up` writes it anew",
        ) from None
