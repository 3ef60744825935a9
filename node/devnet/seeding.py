"""Makes the keys and the customers of a fresh devnet, through the node's own services.

A program of its own (`python -m node.devnet.seeding SEED_FILE`), with the node's settings in its
environment. Not here: who the customers are (`node.bootstrap.seed_devnet`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from node.bootstrap import seed_devnet
from node.config import load_settings
from node.devnet.state import write_json


def main() -> None:
    """Write what was made; it holds secrets that nobody can read a second time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed_file", type=Path)
    write_json(parser.parse_args().seed_file, seed_devnet(load_settings()))


if __name__ == "__main__":
    main()
