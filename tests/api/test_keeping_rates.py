"""The task of `serve` that reads the sources survives what passes by itself, and a bug not."""

from dataclasses import dataclass, field
from typing import cast

import pytest
import uvicorn

from adapters.machine import SystemClock
from node.bootstrap import serving
from node.bootstrap.wiring import Node
from node.core.errors import DatabaseUnavailable
from node.core.ports.quotes import Halt
from node.services.pricing.rates import Rates


@dataclass
class Failing:
    """What the task uses of a node; each refresh fails in the next way."""

    ways: list[Exception]
    clock: SystemClock = field(default_factory=SystemClock)
    rates: Rates = field(default_factory=lambda: Rates([]))

    @property
    def fx(self) -> "Failing":
        return self

    async def refresh(self) -> list[Halt]:
        raise self.ways.pop(0)


async def test_a_node_that_can_read_its_rates_no_more_stops_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "_RATES_EVERY_S", 0)
    server = uvicorn.Server(uvicorn.Config("none:none"))
    node = Failing([DatabaseUnavailable("away"), DatabaseUnavailable("away"), KeyError("a bug")])
    with pytest.raises(KeyError):
        await serving._keep_rates(cast("Node", node), server)
    assert server.should_exit
    assert node.ways == []
