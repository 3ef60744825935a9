"""One network for all outcomes of the folder, and what a partner does on it."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.conftest import Network, until
from tests.e2e.two_nodes import TwoNodes
from tests.sandbox.playing import Play
from tests.scratch import scratch_root


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """The first node of a devnet of two: the other pays out for it."""
    with (
        TemporaryDirectory(prefix="sandbox-", dir=scratch_root()) as root,
        TwoNodes.running(Path(root) / "state") as nodes,
    ):
        until(nodes.berlin.is_ready, "the node is ready")
        yield nodes.berlin


@pytest.fixture(scope="module")
def play(network: Network) -> Play:
    """A partner of the network."""
    return Play(network)
