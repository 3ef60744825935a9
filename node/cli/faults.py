"""How a command fails: exit statuses, the sentence and the remedy.

Not here: the codes of problems, which are the node's (`node.core.errors`).
"""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from node.cli.console import stderr, stdout
from node.core.errors import NodeError, Unavailable


class Status(IntEnum):
    """Exit statuses of every command. 2 (wrong usage) and 130 (Ctrl-C) are Typer's."""

    DONE = 0
    NO = 1  # the answer is no: not completed, breaks open, differences found, a check failed
    USAGE = 2  # the command line is wrong
    REFUSED = 3  # the node understood and declined; the same request will not work
    AWAY = 4  # the node, its database or its chain does not answer; the same command may work later
    INTERRUPTED = 130


class Fault(Exception):
    """A command cannot do its work.

    Attributes:
        remedy: What to do about it; empty when nothing better can be said.
        status: The exit status.
        problem: The node's answer (RFC 9457), if there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        status: Status = Status.NO,
        problem: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.status = status
        self.problem = problem


REMEDIES: Final[Mapping[str, str]] = {
    "quote_expired": "run the same command again for a fresh quote",
    "quote_revoked": "run the same command again when quoting goes on",
    "quoting_halted": "`corridor fx` shows an operator why; `corridor fx resume` ends it",
    "exposure_limit_reached": "try a smaller amount, or again when open quotes have expired",
    "cancel_too_late": "an operator can ask for a void: `corridor settlement void`",
    "number_used": "`corridor reconcile --explain` shows what was paid, and the breaks it left",
    "settlement_recovering": "an operator looks at it with `corridor settlement adopt`, and with"
    " `corridor mirror status`",
    "credential_invalid": "check CORRIDOR_TOKEN; `corridor keys create` makes a new key",
    "scope_missing": "use a credential whose role may do this; `corridor keys list` shows roles",
    "second_person_needed": "another operator approves it, with a key of their own (`corridor keys"
    " create operator NAME`): `corridor breaks approve BREAK_ID`, or the same `corridor mirror"
    " accept-reorg`",
    "rate_unavailable": "try again shortly; `corridor doctor` shows what is wrong with a node",
    "liquidity_unavailable": "try a smaller amount, or again when payments have become final",
    "database_unavailable": "`corridor doctor` shows what is wrong and how to mend it",
    "chain_unavailable": "`corridor doctor` shows what is wrong and how to mend it",
}
"""Problem code -> what to do in the terminal, where that says more than the node's sentence."""


def refused(problem: Mapping[str, object]) -> Fault:
    """The fault that a problem answer of the node is (RFC 9457 members `detail`, `code`...)."""
    code = str(problem.get("code", ""))
    errors = problem.get("errors")
    if isinstance(errors, list) and errors:
        lines = [_pointed(each) for each in errors if isinstance(each, dict)]
    else:
        lines = [str(problem.get("detail") or problem.get("title") or "the node refused")]
    status = Status.AWAY if problem.get("retryable") else Status.REFUSED
    lines.append(f"({', '.join(_facts(problem, code))})")
    return Fault(
        "\n".join(lines), remedy=REMEDIES.get(code, ""), status=status, problem=dict(problem)
    )


def _pointed(error: Mapping[str, object]) -> str:
    where = error.get("pointer") or error.get("parameter") or ""
    return f"{where}: {error.get('message', '')}"


_TOLD: Final = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "retryable", "errors"}
)


def _facts(problem: Mapping[str, object], code: str) -> list[str]:
    """The code, and whatever else the code promises, such as `available` or `transfer_id`."""
    facts = [code] if code else []
    for name, value in problem.items():
        if name in _TOLD or value is None:
            continue
        facts.append(f"{name} {_short(value)}")
    return facts


def _short(value: object) -> str:
    if isinstance(value, dict) and "amount" in value:
        return f"{value['amount']} {value.get('currency', '')}".strip()
    return str(value)


def report(error: Fault | NodeError, *, as_json: bool) -> Status:
    """Print what went wrong and how to mend it; give the exit status.

    People read it on standard error. A program that asked for JSON gets one document
    `{"error": {"message", "remedy", "problem"}}` on standard output.
    """
    fault = error if isinstance(error, Fault) else _fault_of(error)
    if as_json:
        told = {"message": str(fault), "remedy": fault.remedy, "problem": fault.problem}
        stdout().out(json.dumps({"error": told}), highlight=False)
        return fault.status
    first, *rest = str(fault).splitlines() or [""]
    console = stderr()
    console.print(f"[bold red]Error:[/] {_plain(first)}", soft_wrap=True)
    for line in rest:
        console.print(_plain(line), soft_wrap=True)
    if fault.remedy:
        console.print(f"[bold]Remedy:[/] {_plain(fault.remedy)}", soft_wrap=True)
    return fault.status


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _fault_of(error: NodeError) -> Fault:
    status = Status.AWAY if isinstance(error, Unavailable) else Status.REFUSED
    return Fault(
        f"{error.detail}\n({error.code})", remedy=REMEDIES.get(error.code, ""), status=status
    )
