"""`corridor fx`: what is shown, what is asked of the node; and a corridors file with a mistake."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from node.api import examples
from node.cli.faults import Status
from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode, problem, serving

HALT = {**examples.HALT, "note": "looking [at] it"}


@dataclass
class FxNode(FakeNode):
    """A node whose halts are in a list."""

    halts: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    mid_rate: str | None = "1.15626"

    def answer(self, method: str, path: str, key: str | None, body: Any) -> Any:
        self.bodies.append(body)
        match path:
            case "/v1/fx":
                fault = None if self.mid_rate else "no source [any] states it"
                known: Any = examples.FX["corridors"]
                pair = {**known[0], "mid_rate": self.mid_rate, "fault": fault}
                return 200, {**examples.FX, "corridors": [pair], "halts": self.halts}
            case "/v1/corridors":
                return 200, {"data": [examples.CORRIDOR]}
            case "/v1/fx/halt":
                if body["currency"] == "XXX":
                    return 422, problem(422, "invalid_body", "no such currency")
                self.halts.append({**HALT, "currency": body["currency"]})
                return 200, {"data": self.halts, "quotes_revoked": 3}
            case "/v1/fx/resume":
                self.halts = [each for each in self.halts if each["currency"] != body["currency"]]
                return 200, {"data": self.halts, "accepted": self.accepted}
            case _:
                return super().answer(method, path, key, body)


@pytest.fixture
def node() -> Iterator[FxNode]:
    with serving(FxNode()) as fake:
        assert isinstance(fake, FxNode)
        yield fake


def test_rates_costs_exposure_and_halts_are_shown_together(run: Run, node: FxNode) -> None:
    outcome = run("fx")
    assert outcome.status == Status.DONE
    for told in ("ecb", "1.15626", "2 d of 4 d", "EUR/USDC", "20 bps",
                 "30 bps, min 0.00, net 0.02", "0.10 to 100000.00", "100000000.00",
                 "Nothing is halted."):  # fmt: skip
        assert told in outcome.out
    node.halts = [HALT]
    shown = run("fx")
    assert "looking [at] it" in shown.out
    assert "corridor fx resume EUR" in shown.err


def test_rates_are_never_broken_however_narrow_the_terminal_is(
    run: Run, node: FxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.mid_rate = "1.15626000000000012"
    for columns in ("40", "60", "80", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = run("fx").out
        for figure in (node.mid_rate, "1.15626", "100000.00", "100000000.00"):
            assert figure in shown.split(), columns
        assert max(map(len, shown.splitlines())) <= int(columns)


def test_a_rate_there_is_not_is_told_with_the_fault(run: Run, node: FxNode) -> None:
    node.mid_rate = None
    shown = run("fx").out
    assert "NO EUR/USDC: no source [any] states it" in shown


def test_a_program_gets_the_document_of_the_node_and_its_offer(run: Run) -> None:
    document = json.loads(run("fx", "--json").out)
    assert document == {**examples.FX, "offer": [examples.CORRIDOR]}


def test_a_currency_or_everything_is_halted_and_resumed(run: Run, node: FxNode) -> None:
    halted = run("fx", "halt", "eur", "--note", "a look")
    assert halted.status == Status.DONE
    assert node.bodies[-1] == {"currency": "EUR", "note": "a look"}
    assert "revoked open quotes: 3" in halted.out
    assert json.loads(run("fx", "halt", "everything", "--json").out)["quotes_revoked"] == 3
    assert node.bodies[-1] == {"currency": None}
    resumed = run("fx", "resume", "EUR")
    assert node.bodies[-1] == {"currency": "EUR"}
    assert "everything" in resumed.out
    assert json.loads(run("fx", "resume", "everything", "--json").out) == {
        "data": [],
        "accepted": [],
    }
    assert run("fx", "resume", "EUR").out == "Nothing is halted.\n"


def test_the_level_that_was_seen_is_named_and_the_one_that_is_accepted_is_told(
    run: Run, node: FxNode
) -> None:
    node.accepted = [examples.FX_LEVEL]
    resumed = run("fx", "resume", "eur", "--mid-rate", "1.15626")
    assert node.bodies[-1] == {"currency": "EUR", "mid_rate": "1.15626"}
    assert "accepted EUR/USDC 1.15626" in resumed.out


def test_a_halt_that_is_refused_is_told_in_words(run: Run) -> None:
    outcome = run("fx", "halt", "xxx")
    assert outcome.status == Status.REFUSED
    assert "no such currency" in outcome.err


def test_a_mistake_in_the_corridors_file_stops_the_node_with_its_place_and_remedy(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "lane.json"
    key.write_text(json.dumps(Account.encrypt(Account.create().key, "play", iterations=2)))
    (tmp_path / "lane.json.password").write_text("play")
    offer = tmp_path / "offer.toml"
    shipped = Path(__file__).parents[2] / "adapters" / "corridors.toml"
    offer.write_text(shipped.read_text().replace('network_fee = "3"', "network_fee = 3.5"))
    settings = {
        "CORRIDOR_DATABASE_URL": database_url,
        "CORRIDOR_CHAIN_RPC_URLS": "http://127.0.0.1:9",
        "CORRIDOR_TOKEN_ADDRESS": "0x" + "70" * 20,
        "CORRIDOR_SETTLEMENT_ADDRESS": "0x" + "c0" * 20,
        "CORRIDOR_SIGNER": f"keystore:{key}",
        "CORRIDOR_CORRIDORS_FILE": str(offer),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    outcome = run("serve")
    assert outcome.status == Status.REFUSED
    told = " ".join(outcome.err.split())
    assert "CORRIDOR_CORRIDORS_FILE" in told
    assert "offer.toml: corridor JPY/USDC: network_fee: write the amount as text" in told
