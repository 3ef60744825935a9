"""Settlement as operators see it over HTTP, and its figures for monitoring."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.evm.addresses import Eip55
from node.core.errors import DatabaseUnavailable
from node.core.ports.settlement import Pause
from node.core.ports.settlement_views import OpenRow
from node.core.settlement import LaneStatus, PauseReason, Waiting
from node.core.units import Address
from node.services.settlement.alerts import AlertCode
from tests.api.fake_overview import A_CONTRACT, A_LANE, GWEI, SPENT
from tests.api.fake_world import LANE, NOW
from tests.api.fakes import FakeNode

AS_OPERATOR = {"Authorization": "Bearer operator-key"}
OPERATING = Path(__file__).parents[2] / "node" / "docs" / "operating_settlement.md"
LANE_LABELS = {"lane": Eip55().text(LANE), "role": "settle"}


async def series(client: httpx.AsyncClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the page by name and labels."""
    page = (await client.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def figure(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    found = await series(client)
    return found[f"corridor_settlement_{name}", tuple(sorted(labels.items()))]


async def test_one_look_says_what_needs_a_person_first(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    look = (await client.get("/v1/settlement", headers=AS_OPERATOR)).json()
    assert look["alerts"] == []
    assert look["contract"]["balance"] == {"currency": "USDC", "amount": "50.000000"}
    assert look["contract"]["free"]["amount"] == "45.000000"
    fake_node.overview.contract = replace(A_CONTRACT, token_paused=True, float_units=1)
    fake_node.overview.open_transfers = [OpenRow("funded", "token_paused", 3, 7, NOW)]
    look = (await client.get("/v1/settlement", headers=AS_OPERATOR)).json()
    assert [each["code"] for each in look["alerts"]] == ["token_paused", "float_low"]
    assert look["contract"]["free"]["amount"] == "0.000000"
    assert look["transfers"] == [
        {
            "state": "funded",
            "waiting": "token_paused",
            "count": 3,
            "amount": {"currency": "USDC", "amount": "0.000007"},
            "since": "2026-11-22T16:00:00Z",
        }
    ]


async def test_a_contract_never_seen_is_shown_without_figures(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.overview.contract = None
    contract = (await client.get("/v1/settlement", headers=AS_OPERATOR)).json()["contract"]
    assert contract["address"].startswith("0x")
    assert {name for name, value in contract.items() if value is None} == {
        "block_number", "seen_at", "paused", "token_paused", "balance", "free", "cap_left",
    }  # fmt: skip


async def test_gas_per_payment_is_rounded_up_and_of_nobody_is_null(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.overview.spent = [replace(SPENT, payments=7, gas_used=100, fees_wei=50)]
    total = (await client.get("/v1/settlement/spending", headers=AS_OPERATOR)).json()["total"]
    assert (total["gas_per_payment"], total["fee_wei_per_payment"]) == (15, "8")
    assert (total["attempts"], total["replaced"]) == (3, 1)
    fake_node.overview.spent = []
    empty = (await client.get("/v1/settlement/spending", headers=AS_OPERATOR)).json()
    assert (empty["total"]["gas_per_payment"], empty["purposes"]) == (None, [])


async def test_a_batch_shows_every_attempt_and_what_became_of_each_payment(
    client: httpx.AsyncClient,
) -> None:
    (row,) = (await client.get("/v1/settlement/batches", headers=AS_OPERATOR)).json()["data"]
    assert (row["fee_wei"], row["gas_per_payment"]) == (str(100_000 * GWEI), 50_000)
    batch = (await client.get(f"/v1/settlement/batches/{row['id']}", headers=AS_OPERATOR)).json()
    assert [each["sequence"] for each in batch["attempts"]] == [1, 2]
    assert [each["outcome"] for each in batch["payments"]] == ["settled", "settled", "failed"]
    assert (batch["payment_count"], batch["payments_settled"]) == (3, 2)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("batches?lane=0x12", "write an address: 0x and 40 hexadecimal digits"),
        ("batches?state=lost", "write 'written',"),
        ("batches?purpose=fun", "write 'settle',"),
        ("spending?from=yesterday", "write a time such as"),
    ],
)
async def test_a_wrong_filter_is_refused_in_words(
    client: httpx.AsyncClient, query: str, message: str
) -> None:
    response = await client.get(f"/v1/settlement/{query}", headers=AS_OPERATOR)
    assert response.status_code == 422
    assert response.json()["errors"][0]["message"].startswith(message)


async def test_batches_are_filtered_by_lane_state_and_purpose(client: httpx.AsyncClient) -> None:
    for query, count in (
        (f"lane={Eip55().text(LANE)}", 1),
        (f"lane=0x{LANE.hex()}&state=included&purpose=settle", 1),
        (f"lane=0x{'00' * 20}", 0),
        ("state=final", 0),
        ("purpose=void", 0),
    ):
        page = await client.get(f"/v1/settlement/batches?{query}", headers=AS_OPERATOR)
        assert len(page.json()["data"]) == count, query


async def test_a_lane_that_works_and_one_that_stopped_are_told_apart(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    assert await figure(client, "lane_up", **LANE_LABELS) == 1
    assert await figure(client, "lane_gas_wei", **LANE_LABELS) == 10**18
    assert await figure(client, "lane_gas_low", **LANE_LABELS) == 0
    assert await figure(client, "lane_cap_left_units", **LANE_LABELS) == 40_000_000
    assert A_LANE.head is not None
    fake_node.overview.lanes_seen = [
        replace(
            A_LANE,
            lane=replace(A_LANE.lane, status=LaneStatus.AHEAD),
            balance_wei=3,
            head=replace(A_LANE.head, written_at=NOW - timedelta(hours=1)),
        )
    ]
    assert await figure(client, "lane_up", **LANE_LABELS) == 0
    assert await figure(client, "lane_gas_low", **LANE_LABELS) == 1
    assert await figure(client, "lane_stuck", **LANE_LABELS) == 1
    assert await figure(client, "head_of_line_age_seconds", **LANE_LABELS) == 3600
    assert await figure(client, "adoption_needed") == 1
    assert await figure(client, "alerts", code="adoption_needed") == 1


async def test_a_lane_that_no_worker_holds_is_not_up(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    ended = replace(A_LANE.lane, lease_until=NOW - timedelta(seconds=1))
    fake_node.overview.lanes_seen = [replace(A_LANE, lane=ended)]
    assert await figure(client, "lane_up", **LANE_LABELS) == 0


async def test_a_key_without_a_lane_is_down_and_a_retired_one_is_not_told(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    retired = replace(A_LANE, lane=replace(A_LANE.lane, address=Address(b"\x01" * 20)))
    fake_node.overview.lanes_seen = [retired]
    assert await figure(client, "lane_up", **LANE_LABELS) == 0
    names = [name for name, _ in await series(client)]
    assert names.count("corridor_settlement_lane_up") == 1
    assert "corridor_settlement_lane_gas_wei" not in names
    look = (await client.get("/v1/settlement", headers=AS_OPERATOR)).json()
    assert [each["retired"] for each in look["lanes"]] == [True]
    assert [each["code"] for each in look["alerts"]] == ["lane_idle"]


async def test_pauses_float_and_token_are_flags(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    assert await figure(client, "paused", reason="operator") == 0
    assert await figure(client, "float_units") == 50_000_000
    assert await figure(client, "committed_units") == 5_000_000
    fake_node.settlement.paused = [Pause(PauseReason.OPERATOR, True, None, "operator:o", NOW)]
    fake_node.overview.contract = replace(A_CONTRACT, paused=True, token_paused=True, float_units=0)
    for name in ("paused_hard", "contract_paused", "token_paused", "float_low"):
        assert await figure(client, name) == 1, name
    assert await figure(client, "paused", reason="operator") == 1
    assert await figure(client, "paused", reason="float") == 0


async def test_what_waits_is_counted_by_reason_and_a_reason_that_ended_is_zero(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.overview.open_transfers = [OpenRow("funded", "gas_low", 4, 1, NOW)]
    assert await figure(client, "transfers", state="funded", waiting="gas_low") == 4
    fake_node.overview.open_transfers = []
    for code in Waiting:
        assert await figure(client, "transfers", state="funded", waiting=code.value) == 0
    assert await figure(client, "transfers", state="unknown", waiting="none") == 0


async def test_totals_are_counters_by_purpose(client: httpx.AsyncClient) -> None:
    assert await figure(client, "gas_used_total", purpose="settle") == 1_050_000
    assert await figure(client, "fees_wei_total", purpose="settle") == 1_050_000 * GWEI
    assert await figure(client, "attempts_total") == 3
    assert await figure(client, "bumps_total") == 1
    assert await figure(client, "transactions_total", purpose="void") == 0
    assert await figure(client, "payments_total") == 100


async def test_providers_are_up_or_down_by_name(client: httpx.AsyncClient) -> None:
    found = await series(client)
    assert found["corridor_provider_up", (("provider", "rpc.example:443"),)] == 1
    assert found["corridor_provider_failures_total", (("provider", "rpc.example:443"),)] == 3


async def test_metrics_are_there_when_the_database_is_not(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.overview.refuses = DatabaseUnavailable("away")
    page = await client.get("/metrics")
    assert page.status_code == 200
    assert "corridor_ready" in page.text
    assert "corridor_settlement" not in page.text


async def test_the_series_of_settlement_stay_few(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    many = [OpenRow(f"state{n % 3}", None, 1, 1, NOW) for n in range(9)]
    fake_node.overview.open_transfers = many
    names = [name for name, _ in await series(client) if name.startswith("corridor_settlement")]
    assert len(names) < 80


async def test_every_series_and_every_alert_has_its_place_in_the_operators_page(
    client: httpx.AsyncClient,
) -> None:
    text = OPERATING.read_text()
    names = {
        re.sub(r"_total$", "", name)
        for name, _ in await series(client)
        if re.match("corridor_(settlement|provider)", name)
    }
    missing = {name for name in names if f"`{name}" not in text}
    assert missing == set()
    assert {code for code in AlertCode if f"### `{code}`" not in text} == set()
    headings = set(re.findall(r"^### `(\w+)`$", text, re.MULTILINE))
    assert headings == set(AlertCode)


async def test_a_pause_for_a_foreign_nonce_ends_only_once_no_lane_has_to_be_adopted(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    pause = Pause(PauseReason.FOREIGN_NONCE, False, None, "node:mirror", NOW)
    fake_node.settlement.paused, fake_node.settlement.is_ahead = [pause], True
    path, body = "/v1/settlement/resume", {"reason": "foreign_nonce"}
    key = AS_OPERATOR | {"Idempotency-Key": "resume-1"}
    refused = await client.post(path, headers=key, json=body)
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (503, "settlement_recovering")
    assert problem["retryable"] is True
    assert "corridor settlement adopt" in problem["detail"]
    other = await client.post(path, headers=AS_OPERATOR, json={"reason": "operator"})
    assert (other.status_code, len(other.json()["data"])) == (200, 1)
    fake_node.settlement.is_ahead = False
    resumed = await client.post(path, headers=key, json=body)  # a refusal of 503 is not kept
    assert (resumed.status_code, resumed.json()["data"]) == (200, [])
