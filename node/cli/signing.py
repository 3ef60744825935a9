"""`corridor signer`: the process that holds keys apart from the node."""

from pathlib import Path

from node.cli.console import stderr, stdout
from node.cli.faults import Fault, Status
from node.signer.settings import EXAMPLE


def example() -> None:
    """Print a file to start from."""
    stdout().print(EXAMPLE, end="", markup=False, highlight=False, soft_wrap=True)


def run(file: Path, *, log_format: str) -> None:
    """Sign until told to stop."""
    from node.bootstrap.signing import run_signer

    def tell(url: str) -> None:
        stderr().print(f"{url}  signs (eth_signTransaction); Ctrl-C stops", soft_wrap=True)

    run_signer(file, log_format=log_format, on_listening=tell)


def check(file: Path) -> None:
    """Open everything, say which keys there are, and stop."""
    from node.bootstrap.signing import signer_keys

    for each in signer_keys(file):
        limit = f"  at most {each.units_per_day} token units a day" if each.units_per_day else ""
        stdout().print(f"{each.address}  {each.role}{limit}", highlight=False, soft_wrap=True)


def forget(file: Path, which: str) -> None:
    """Let another transaction be signed for a nonce, given as ADDRESS:NONCE."""
    from node.bootstrap.signing import forget_nonce

    address, _, nonce = which.partition(":")
    if not nonce.isdecimal():
        raise Fault(
            f"{which} is not ADDRESS:NONCE",
            remedy="write it such as 0x...:17",
            status=Status.USAGE,
        )
    if not forget_nonce(file, address, int(nonce)):
        raise Fault(
            f"nothing was signed for nonce {nonce} of {address}, or it is long used",
            remedy="look at the signer's log for the nonce that it refuses",
            status=Status.REFUSED,
        )
    stderr().print(f"Another transaction may now be signed for nonce {nonce} of {address}.")
