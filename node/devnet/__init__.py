"""The devnet: a complete local node with its own chain and database, supervised.

Not here: the node itself (`node.bootstrap`).
"""

from node.devnet.errors import DevnetError
from node.devnet.running import Background, Description, describe, down, supervise, up

__all__ = ["Background", "Description", "DevnetError", "describe", "down", "supervise", "up"]
