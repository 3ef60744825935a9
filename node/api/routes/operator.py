"""Whether the node lives and is ready. Metrics and documentation are in `node.api.app`."""

from typing import Final

from typing_extensions import TypedDict

from node.api import examples
from node.api.operations import Call, Example, Operations
from node.api.problems import NotReady
from node.core.ports.idempotency import Answer

operations: Final = Operations("Health")


class AliveView(TypedDict):
    """The process answers."""

    status: str


class CheckView(TypedDict):
    """One thing that must hold, and what was seen."""

    name: str
    ok: bool
    detail: str


class ReadyView(TypedDict):
    """The node can do its work."""

    status: str
    checks: list[CheckView]


@operations.get("/healthz", who=None, answer=AliveView, example=Example({"status": "alive"}))
async def show_alive(call: Call[None, None]) -> Answer:
    """Say that the process answers.

    Nothing is checked: restart what does not answer this.
    """
    return call.answer({"status": "alive"})


@operations.get(
    "/readyz",
    who=None,
    answer=ReadyView,
    example=Example({"status": "ready", "checks": [examples.CHECK]}),
    refusals=(NotReady,),
)
async def show_ready(call: Call[None, None]) -> Answer:
    """Say whether the node can do its work.

    Database, chain, and how far the mirror is behind.
    """
    readiness = await call.services.health.ready()
    checks: list[CheckView] = [
        {"name": each.name, "ok": each.ok, "detail": each.detail} for each in readiness.checks
    ]
    if not readiness.ok:
        failing = ", ".join(each["name"] for each in checks if not each["ok"])
        raise NotReady(f"not ready: {failing}", checks=checks)
    return call.answer({"status": "ready", "checks": checks})
