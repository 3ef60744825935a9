"""Partners that pay out: other nodes that are asked over HTTP, and the file that names them."""

from adapters.partners.corridor_node import CorridorNode
from adapters.partners.peers import Peer, load_peers

__all__ = ["CorridorNode", "Peer", "load_peers"]
