"""The composition root: settings become adapters, store, services, processes; the only wiring."""

from node.bootstrap.comparing import check_login, check_settings
from node.bootstrap.proving import open_reserves
from node.bootstrap.sandbox import move_clock
from node.bootstrap.serving import run_serve
from node.bootstrap.signing import forget_nonce, run_signer, signer_keys
from node.bootstrap.wiring import Books, Node, migrate, open_books, open_node
from node.bootstrap.working import run_work

__all__ = [
    "Books",
    "Node",
    "check_login",
    "check_settings",
    "forget_nonce",
    "migrate",
    "move_clock",
    "open_books",
    "open_node",
    "open_reserves",
    "run_serve",
    "run_signer",
    "run_work",
    "signer_keys",
]
