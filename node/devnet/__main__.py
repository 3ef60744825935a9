"""`python -m node.devnet STATE_DIR`: the supervisor of a devnet in the background.

Started by `running.Background`, which reads what this prints. `corridor devnet up` is the command
for people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from node.devnet.errors import DevnetError
from node.devnet.running import status_of, supervise


def main() -> int:
    """Supervise until a signal comes; the exit status says how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--made-by", default="devnet")
    options = parser.parse_args()
    try:
        supervise(
            options.state_dir,
            say=_say,
            on_ready=lambda _: None,
            port=options.port,
            made_by=options.made_by,
        )
    except DevnetError as error:
        _say(str(error))
        return status_of(error)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
