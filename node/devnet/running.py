"""Bringing a devnet up and down: in the foreground, in the background, or finding it running.

Not here: what it consists of (`network.py`) and keeping it alive (`supervisor.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.devnet.errors import DevnetError, Outdated
from node.devnet.network import ChainLost, Network
from node.devnet.programs import (
    CHECKOUT,
    Lifeline,
    ProcessId,
    Program,
    inherited_environment,
    parent_death_signal_exists,
    spawn,
    stop_by_id,
    wait_until,
)
from node.devnet.state import StateDirectory, read_json
from node.devnet.supervisor import (
    Say,
    Stopped,
    Supervisor,
    end_leftovers,
    is_ready,
    supervisor_of,
)

Description = dict[str, Any]

_FAILED = 1
_STATUSES: dict[type[ChainLost | Outdated], int] = {ChainLost: 3, Outdated: 5}
"""Faults that a supervisor in the background tells by its exit status."""

_UP_LIMIT_S = 240.0
_DOWN_LIMIT_S = 60.0


def up(
    state_dir: Path,
    *,
    say: Say,
    on_ready: Callable[[Description], None],
    port: int | None = None,
    nodes: int | None = None,
    detach: bool = False,
) -> None:
    """Start what is not running and supervise it until a signal comes.

    Returns at once and leaves everything running with `detach`, or when the state directory has a
    supervisor already; that one then starts at once what it was waiting with.

    Args:
        state_dir: Where everything of the devnet is kept; made when missing.
        say: Tells a person what happens, line by line.
        on_ready: Called once with the content of `devnet.json` when everything answers.
        port: HTTP port of the first node, kept for the next time; None: the kept one, 8000 at
            first, or a free one.
        nodes: 1 or 2; None: as many as there are, 1 at first.
        detach: Leave it running in the background.

    Raises:
        DevnetError: Something is missing, taken or broken; says the remedy.
    """
    if detach or supervisor_of(StateDirectory(state_dir.absolute())) is not None:
        background = Background.start(state_dir, say=say, port=port, nodes=nodes)
        on_ready(background.description)
        background.leave_running()
    else:
        supervise(state_dir, say=say, on_ready=on_ready, port=port, nodes=nodes)


def supervise(
    state_dir: Path,
    *,
    say: Say,
    on_ready: Callable[[Description], None],
    port: int | None = None,
    nodes: int | None = None,
    made_by: str = "devnet",
) -> None:
    """Be the supervisor of a state directory until a signal comes.

    Args:
        state_dir: As `up`.
        say: As `up`.
        on_ready: As `up`.
        port: As `up`.
        nodes: As `up`.
        made_by: Noted in a new directory, `devnet` or `demo`.

    Raises:
        DevnetError: As `up`; also when another process is the supervisor.
    """
    state = StateDirectory(state_dir.absolute())
    state.prepare(made_by=made_by, nodes=nodes)
    lock = state.lock()
    if lock is None:
        raise DevnetError(f"another process is starting or stopping {state.root}", remedy="wait")
    supervisor = Supervisor(state, say)
    network = Network(state, port, say)
    try:
        with supervisor.running():
            network.start(supervisor)
            supervisor.announce_ready()
            on_ready(describe(state_dir))
            supervisor.watch()
    except Stopped as asked:
        say(f"stopped by {asked}")
    finally:
        network.end()
        os.close(lock)


def status_of(error: DevnetError) -> int:
    """Exit status by which a supervisor in the background tells how it failed."""
    return next(
        (status for fault, status in _STATUSES.items() if isinstance(error, fault)), _FAILED
    )


class Background:
    """A devnet that somebody else supervises: found running, or started for this.

    What was found running is not ours to stop.
    """

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._log = state.log("supervisor")
        self._shown_bytes = self._log.stat().st_size if self._log.exists() else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: Lifeline | None = None

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        say: Say,
        port: int | None = None,
        nodes: int | None = None,
        tied: bool = False,
        made_by: str = "devnet",
    ) -> Background:
        """Start what is not running, and wait until everything answers.

        Args:
            state_dir: As `up`.
            say: As `up`.
            port: As `up`.
            nodes: As `up`.
            tied: It ends when this process ends, however that happens.
            made_by: Noted in a new directory, `devnet` or `demo`.

        Raises:
            ChainLost: The directory's chain is gone.
            DevnetError: As `up`.
        """
        state = StateDirectory(state_dir.absolute())
        state.prepare(made_by=made_by, nodes=nodes)
        background = cls(state)
        running = supervisor_of(state)
        if running is not None:
            os.kill(running.pid, signal.SIGUSR1)
        else:
            background._start_supervisor(port, made_by, tied=tied)
        try:
            background._wait(running, say)
        except BaseException:
            background.stop()
            raise
        return background

    @property
    def started(self) -> bool:
        """Whether it was started for this; what was found running is not ours to stop."""
        return self._process is not None

    @property
    def description(self) -> Description:
        """Content of `devnet.json` as it is now; pids change when something is started again."""
        return describe(self._state.root)

    def stop(self) -> None:
        """Stop it if it was started for this."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_DOWN_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._lifeline is not None:
            self._lifeline.close()

    def leave_running(self) -> None:
        """Part from it: it goes on when this process ends, and nobody waits for its end."""
        if self._process is not None:
            self._process.returncode = 0  # or its finalizer would warn of a forgotten child
        self._process = None

    def ended(self) -> bool:
        """Whether its supervisor is gone."""
        if self._process is not None:
            return self._process.poll() is not None
        return supervisor_of(self._state) is None

    def _start_supervisor(self, port: int | None, made_by: str, *, tied: bool) -> None:
        options = [f"--made-by={made_by}", *([f"--port={port}"] if port is not None else [])]
        program = Program(
            name="supervisor",
            command=[sys.executable, "-m", "node.devnet", str(self._state.root), *options],
            log=self._log,
            environment=inherited_environment(),
            cwd=CHECKOUT,
        )
        if tied:
            self._lifeline = None if parent_death_signal_exists() else Lifeline()
            self._process = spawn(program, lifeline=self._lifeline)
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(program.environment),
                cwd=program.cwd,
                start_new_session=True,
            )

    def _wait(self, running: ProcessId | None, say: Say) -> None:
        """Wait until everything answers, passing on what the supervisor says meanwhile."""

        def settled() -> bool:
            self._pass_on(say)
            return is_ready(self._state) or self.ended()

        wait_until(settled, limit_s=_UP_LIMIT_S)
        if self.ended():
            for fault, status in _STATUSES.items():
                if self._process is not None and self._process.returncode == status:
                    raise fault()
            raise DevnetError("the devnet did not come up, see above", remedy=f"read {self._log}")
        if not is_ready(self._state):
            raise DevnetError(
                f"the devnet did not come up within {_UP_LIMIT_S:.0f} s", remedy=f"read {self._log}"
            )
        if running is not None:
            say(f"already running in {self._state.root}")

    def _pass_on(self, say: Say) -> None:
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            log.seek(self._shown_bytes)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._shown_bytes += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            say(line)


def down(state_dir: Path, *, say: Say, wipe: bool = False) -> None:
    """Stop exactly what `up` started; with `wipe` delete the state directory as well.

    Raises:
        DevnetError: The directory is not a devnet's, or something does not end.
    """
    state = StateDirectory(state_dir.absolute())
    if not state.exists():
        raise DevnetError(f"there is no devnet in {state.root}", remedy="name it with --state-dir")
    running = supervisor_of(state)
    if running is not None:
        stop_by_id(running, signal.SIGTERM, limit_s=_DOWN_LIMIT_S)
    end_leftovers(state)
    state.forget_running()
    say("stopped" if running is not None else "nothing was running")
    if wipe:
        state.wipe()
        say(f"deleted {state.root}")


def describe(state_dir: Path) -> Description:
    """Content of `devnet.json`; empty when the devnet is not running."""
    return read_json(StateDirectory(state_dir.absolute()).description)
