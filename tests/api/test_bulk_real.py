"""A bulk transfer over HTTP and the worker as they are wired, on one database."""

from pathlib import Path

from eth_account import Account

from node.bootstrap.wiring import open_node
from tests.api.conftest import RealNode, settings_in
from tests.api.pain001_messages import Instruction, message

PATH = "/v1/bulk-transfers"


async def test_pain_001_over_http_is_carried_out_by_the_worker_and_answered_by_pain_002(
    real_app: RealNode, database_url: str, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {real_app.partner}"}
    content = message(
        real_app.customer_id,
        Instruction("first", "100.00"),
        Instruction("second", "200.00"),
        Instruction("too much", "710.00"),
    )
    taken = await real_app.client.post(
        PATH,
        headers={**headers, "Idempotency-Key": "one", "Content-Type": "application/xml"},
        params={"buy_currency": "USDC"},
        content=content,
    )
    assert taken.status_code == 202, taken.text
    assert taken.json()["rows"]["pending"] == 3
    directory = tmp_path / "worker"
    directory.mkdir()
    lane_key = bytes(Account.create().key)
    settings = settings_in(directory, database_url, lane_key, token_address=real_app.token_address)
    async with open_node(settings) as worker:
        assert await worker.bulk_worker.run_once() == 3
    at = taken.headers["location"]
    shown = (await real_app.client.get(at, headers=headers)).json()
    assert shown["status"] == "completed"
    assert (shown["rows"]["accepted"], shown["rows"]["rejected"]) == (2, 1)
    assert shown["sums"][0]["sell"] == {"currency": "EUR", "amount": "300.00"}
    rows = (await real_app.client.get(f"{at}/rows", headers=headers)).json()["data"]
    assert [each["status"] for each in rows] == ["accepted", "accepted", "rejected"]
    assert rows[2]["errors"][0]["code"] == "insufficient_funds"
    report = await real_app.client.get(
        f"{at}/report", headers=headers, params={"format": "pain.002"}
    )
    assert b"<GrpSts>PART</GrpSts>" in report.content
    events = await real_app.client.get("/v1/events", headers=headers, params={"limit": 50})
    told = [each["type"] for each in events.json()["data"]]
    assert told.count("transfer.funded") == 2
    assert [each for each in told if each.startswith("bulk")] == [
        "bulk_transfer.processing",
        "bulk_transfer.completed",
    ]
    costs = await real_app.client.get("/v1/reports/transfers", headers=headers)
    references = {each["client_reference"] for each in costs.json()["data"]}
    assert references == {"first", "second"}
    own = await real_app.client.get(
        f"/v1/partners/{real_app.partner_id}/statement",
        headers=headers,
        params={"currency": "EUR"},
    )
    assert own.status_code == 200
