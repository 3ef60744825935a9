"""`corridor serve`, `corridor work`, `corridor migrate`: the processes of a node."""

from pathlib import Path

from node.cli.console import next_steps, stderr
from node.cli.installation import settings_of


def serve(state_dir: Path) -> None:
    """Answer HTTP until told to stop."""
    settings = settings_of(state_dir)
    from node.bootstrap import run_serve

    stderr().print(
        f"http://{settings.http_host}:{settings.http_port}  documentation at /docs,"
        " readiness at /readyz; Ctrl-C stops",
        soft_wrap=True,
    )
    run_serve(settings)


def work(state_dir: Path, only: str | None) -> None:
    """Do the node's work until told to stop; `only` names jobs, separated by commas."""
    settings = settings_of(state_dir)
    from node.bootstrap import run_work

    run_work(settings, [name.strip() for name in (only or "").split(",") if name.strip()])


def migrate(state_dir: Path) -> None:
    """Bring the schema up to date."""
    settings = settings_of(state_dir)
    from node.bootstrap import migrate as bring_up_to_date

    bring_up_to_date(settings)
    stderr().print("The database's schema is up to date.")
    next_steps(("corridor serve", "answer HTTP"), ("corridor work", "pay, mirror, reconcile"))
