"""Which node the examples talk to: CORRIDOR_URL and CORRIDOR_TOKEN, or the devnet's partner."""

import argparse
import json
import os
from pathlib import Path

from node.client import Client


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A parser that shows what an example is about, and knows where the devnet is."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state-dir", type=Path, default=Path(".corridor"), help="of the devnet")
    parser.add_argument("--sign", metavar="SIG_ID:FILE", help="sign requests: a key's id and seed")
    return parser


def connect(arguments: argparse.Namespace) -> Client:
    """A client of the node that the environment names, else of the devnet's first node."""
    url, token = os.environ.get("CORRIDOR_URL"), os.environ.get("CORRIDOR_TOKEN")  # noqa: TID251
    if not (url and token):
        node = json.loads((arguments.state_dir / "devnet.json").read_bytes())["nodes"][0]
        url, token = node["url"], node["keys"]["partner"]
    if not arguments.sign:
        return Client(url, token)
    from node.client.signing import RequestSigning  # noqa: PLC0415 - only who signs needs it

    key_id, _, file = arguments.sign.partition(":")
    return Client(url, token, signing=RequestSigning(key_id, Path(file).read_bytes()))
