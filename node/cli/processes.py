"""`corridor serve`, `corridor work`, `corridor migrate`: the processes of a node."""

import errno
import socket
from pathlib import Path

from node.cli.console import next_steps, stderr
from node.cli.faults import Fault, Status
from node.cli.installation import settings_of


def serve(state_dir: Path) -> None:
    """Answer HTTP until told to stop.

    Raises:
        Fault: Nobody can listen at the host and port of the settings.
    """
    settings = settings_of(state_dir)
    _refuse_taken(settings.http_host, settings.http_port)
    from node.bootstrap.serving import run_serve

    def tell() -> None:
        stderr().print(
            f"http://{settings.http_host}:{settings.http_port}  documentation at /docs,"
            " readiness at /readyz; Ctrl-C stops",
            soft_wrap=True,
        )

    run_serve(settings, on_listening=tell)


def _refuse_taken(host: str, port: int) -> None:
    """Try to listen, and stop at once: the server's own words for it name no setting."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Fault(
                f"CORRIDOR_HTTP_PORT {port} is taken: another program listens there on {host}",
                remedy="stop that program, or set CORRIDOR_HTTP_PORT to a free port",
                status=Status.REFUSED,
            ) from None
        raise Fault(
            f"nobody can listen at CORRIDOR_HTTP_HOST {host}, CORRIDOR_HTTP_PORT {port}"
            f" ({error.strerror})",
            remedy="set them to an address of this machine and a port that you may use",
            status=Status.REFUSED,
        ) from None


def work(state_dir: Path, only: str | None) -> None:
    """Do the node's work until told to stop; `only` names jobs, separated by commas."""
    settings = settings_of(state_dir)
    from node.bootstrap.working import run_work

    run_work(settings, [name.strip() for name in (only or "").split(",") if name.strip()])


def migrate(state_dir: Path) -> None:
    """Bring the schema up to date."""
    settings = settings_of(state_dir)
    from node.bootstrap.books import migrate as bring_up_to_date

    bring_up_to_date(settings)
    stderr().print("The database's schema is up to date.")
    next_steps(("corridor serve", "answer HTTP"), ("corridor work", "pay, mirror, reconcile"))
