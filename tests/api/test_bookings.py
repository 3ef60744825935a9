"""Ledger transactions an operator books by hand, over the whole node and PostgreSQL."""

import asyncio
from typing import Any

import httpx
import pytest

from adapters.machine import new_id
from node.core.breaks import BreakCode, break_of
from node.core.errors import Overloaded
from node.core.ids import Prefix, encode_id
from node.core.reconcile import solvency
from node.services.ledger.verifying import VerifyService
from node.store.database import Database
from node.store.unit_of_work import StoreUnits
from tests.api.conftest import RealNode
from tests.api.fakes import FakeNode
from tests.api.test_bad_input import code_of, headers

PATH = "/v1/ledger/transactions"
BANK, CAPITAL = "bank/sandbox_bank/EUR", "capital/EUR"
NOBODY = "01jd0000000000000000000001"


def entry(debit: str, credit: str, amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"debit": debit, "credit": credit, "currency": currency, "amount": amount}


def booking(kind: str, *entries: dict[str, str], **more: object) -> dict[str, Any]:
    return {"kind": kind, "reason": "told so by the bank", "entries": list(entries), **more}


async def book(node: RealNode, key: str, body: dict[str, Any]) -> httpx.Response:
    return await node.client.post(PATH, headers=headers(node.operator, key), json=body)


async def balance(node: RealNode, path: str) -> dict[str, str]:
    listed = await node.client.get(
        "/v1/ledger/accounts", headers=headers(node.operator), params={"path": path}
    )
    (found,) = listed.json()["data"]
    return dict(found)


async def open_break(database_url: str, code: BreakCode) -> str:
    """The id of a break that is open."""
    database, break_id = Database.at(database_url), new_id()
    async with StoreUnits(database)() as unit:
        found = break_of(code, "something", expected="this", actual="that")
        await unit.breaks.open([(break_id, found)])
    await database.close()
    return encode_id(Prefix.BREAK, break_id)


async def test_capital_is_paid_in_and_taken_out(real_app: RealNode) -> None:
    node = real_app
    paid_in = await book(node, "in", booking("capital", entry(BANK, CAPITAL, "500.00")))
    assert paid_in.status_code == 201, paid_in.text
    made = paid_in.json()
    assert paid_in.headers["location"] == f"{PATH}/{made['sequence']}"
    assert (made["kind"], made["status"]) == ("capital", "posted")
    assert made["entries"] == [entry(BANK, CAPITAL, "500.00")]
    assert made["detail"] == {"reason": "told so by the bank", "made_by": "operator:ops"}
    shown = await node.client.get(paid_in.headers["location"], headers=headers(node.operator))
    assert shown.json() == made
    await book(node, "out", booking("capital", entry(CAPITAL, BANK, "200.00")))
    assert (await balance(node, CAPITAL))["posted"] == "300.00"


async def test_a_repeated_booking_gets_the_first_answer_and_books_once(
    real_app: RealNode,
) -> None:
    node = real_app
    body = booking("capital", entry(BANK, CAPITAL, "5.00"))
    answers = await asyncio.gather(*(book(node, "same", body) for _ in range(20)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert sum("idempotent-replayed" not in each.headers for each in answers) == 1
    other = await book(node, "same", booking("capital", entry(BANK, CAPITAL, "6.00")))
    assert (other.status_code, code_of(other)) == (422, "idempotency_key_reused")
    reason = await book(node, "same", {**body, "reason": "another"})
    assert (reason.status_code, code_of(reason)) == (422, "idempotency_key_reused")
    assert (await balance(node, CAPITAL))["posted"] == "5.00"


async def test_what_a_customer_has_left_is_taken_back_and_the_rest_is_a_loss_with_a_break(
    real_app: RealNode,
) -> None:
    node = real_app
    customer = f"customer/{node.customer_id}/EUR"
    too_much = await book(node, "a", booking("chargeback", entry(customer, BANK, "1000.01")))
    assert (too_much.status_code, code_of(too_much)) == (422, "insufficient_funds")
    assert too_much.json()["available"] == {"currency": "EUR", "amount": "1000.00"}
    again = await book(node, "a", booking("chargeback", entry(customer, BANK, "1000.01")))
    assert again.content == too_much.content
    assert again.headers["idempotent-replayed"] == "true"
    body = booking(
        "chargeback",
        entry(customer, BANK, "1000.00"),
        entry("loss/chargeback/EUR", BANK, "0.01"),
    )
    done = await book(node, "b", body)
    assert done.status_code == 201, done.text
    break_id = done.json()["detail"]["break"]
    found = await node.client.get(
        f"/v1/reconciliation/breaks/{break_id}", headers=headers(node.operator)
    )
    assert (found.json()["code"], found.json()["status"]) == ("B22", "open")
    assert found.json()["actual"] == "0.01 EUR"
    assert (await balance(node, customer))["available"] == "0.00"
    assert (await balance(node, BANK))["posted"] == "-0.01"
    listed = await node.client.get("/v1/reconciliation/breaks", headers=headers(node.operator))
    assert len(listed.json()["data"]) == 1
    # What was recovered closes the break, and a closed one is named no more.
    recovered = await node.client.post(
        f"/v1/reconciliation/breaks/{break_id}/resolve",
        headers=headers(node.operator, "c"),
        json={"reason": "paid", "entries": [entry(BANK, "loss/chargeback/EUR", "0.01")]},
    )
    assert recovered.json()["status"] == "resolved", recovered.text
    assert (await balance(node, BANK))["posted"] == "0.00"
    loss = booking("chargeback", entry("loss/chargeback/EUR", BANK, "0.01"), break_id=break_id)
    closed = await book(node, "d", loss)
    assert (closed.status_code, code_of(closed)) == (409, "wrong_state")


async def test_a_large_loss_is_written_off_by_two_operators(real_app: RealNode) -> None:
    node = real_app
    loss = booking("chargeback", entry("loss/chargeback/EUR", BANK, "1000.01"))
    refused = await book(node, "a", loss)
    assert (refused.status_code, code_of(refused)) == (409, "second_person_needed")
    assert refused.json()["made_by"] == "operator:ops"
    assert (await book(node, "a", loss)).content == refused.content
    assert (await balance(node, BANK))["posted"] == "1000.00"  # nothing was booked
    break_id = refused.json()["break_id"]
    at = f"/v1/reconciliation/breaks/{break_id}"
    other = await book(node, "b", {**loss, "break_id": break_id})
    assert (other.status_code, code_of(other)) == (409, "wrong_state")
    own = await node.client.post(f"{at}/approve", headers=headers(node.operator, "own"))
    assert (own.status_code, code_of(own)) == (409, "second_person_needed")
    agreed = await node.client.post(f"{at}/approve", headers=headers(node.second, "k"))
    assert (agreed.status_code, agreed.json()["state"]) == (200, "open"), agreed.text
    assert (await balance(node, BANK))["posted"] == "-0.01"
    history = await node.client.get(f"{at}/history", headers=headers(node.operator))
    steps = [(each["step"], each["by"]) for each in history.json()["data"]]
    assert steps == [
        ("opened", "reconciliation"),
        ("proposed", "operator:ops"),
        ("approved", "operator:second"),
    ]
    sequence = history.json()["data"][-1]["detail"]["ledger_sequence"]
    booked = await node.client.get(f"{PATH}/{sequence}", headers=headers(node.operator))
    assert (booked.json()["kind"], booked.json()["detail"]["break"]) == ("chargeback", break_id)
    # What is recovered later closes it: one operator, for a little.
    body = {"reason": "paid", "entries": [entry(BANK, "loss/chargeback/EUR", "0.01")]}
    closed = await node.client.post(f"{at}/resolve", headers=headers(node.second, "r"), json=body)
    assert closed.json()["state"] == "resolved", closed.text


async def test_a_loss_names_no_break_about_something_else(
    real_app: RealNode, database_url: str
) -> None:
    node = real_app
    other = await open_break(database_url, BreakCode.UNKNOWN_DEPOSIT)
    body = booking("chargeback", entry("loss/chargeback/EUR", BANK, "1.00"), break_id=other)
    refused = await book(node, "k", body)
    assert (refused.status_code, code_of(refused)) == (422, "invalid_body")
    assert refused.json()["errors"][0]["pointer"] == "/break_id"


@pytest.mark.parametrize("account", [BANK, "suspense/31337/EUR"])
async def test_closing_a_break_takes_no_capital_out_of_customers_money(
    real_app: RealNode, database_url: str, account: str
) -> None:
    node = real_app
    break_id = await open_break(database_url, BreakCode.ORPHAN_OUTBOUND)
    await book(node, "in", booking("capital", entry(BANK, CAPITAL, "5.00")))

    at = f"/v1/reconciliation/breaks/{break_id}"

    async def resolve(key: str, amount: str) -> httpx.Response:
        """One operator proposes, because capital is taken; another approves."""
        body = {"reason": "found", "entries": [entry(CAPITAL, account, amount)]}
        proposed = await node.client.post(
            f"{at}/resolve", headers=headers(node.operator, key), json=body
        )
        assert (proposed.status_code, proposed.json()["state"]) == (200, "proposed"), proposed.text
        return await node.client.post(f"{at}/approve", headers=headers(node.second, key))

    refused = await resolve("a", "5.01")
    assert (refused.status_code, code_of(refused)) == (422, "insufficient_funds")
    assert refused.json()["available"] == {"currency": "EUR", "amount": "5.00"}
    assert (await resolve("a", "5.01")).content == refused.content
    taken_back = await node.client.post(
        f"{at}/withdraw", headers=headers(node.operator, "w"), json={"reason": "too much"}
    )
    assert taken_back.json()["state"] == "open", taken_back.text
    done = await resolve("b", "5.00")
    assert (done.status_code, done.json()["status"]) == (200, "resolved"), done.text
    again = await node.client.post(f"{at}/approve", headers=headers(node.second, "c"))
    assert (again.status_code, code_of(again)) == (409, "wrong_state")


async def test_a_correction_gives_nothing_to_nobody(real_app: RealNode, database_url: str) -> None:
    node = real_app
    break_id = await open_break(database_url, BreakCode.CHARGEBACK_LOSS)
    for owner in (f"customer/cus_{NOBODY}/EUR", f"partner/par_{NOBODY}/EUR", "customer/x/EUR"):
        refused = await node.client.post(
            f"/v1/reconciliation/breaks/{break_id}/resolve",
            headers=headers(node.operator, "k"),
            json={"reason": "x", "entries": [entry("suspense/31337/EUR", owner, "1.00")]},
        )
        assert (refused.status_code, code_of(refused)) == (404, "not_found"), owner


async def test_capital_is_not_taken_out_of_customers_money(
    real_app: RealNode, database_url: str
) -> None:
    node = real_app
    all_of_it = booking("capital", entry(CAPITAL, BANK, "999999999.00"))
    refused = await book(node, "all", all_of_it)
    assert (refused.status_code, code_of(refused)) == (422, "insufficient_funds")
    assert refused.json()["available"] == {"currency": "EUR", "amount": "0.00"}
    await book(node, "in", booking("capital", entry(BANK, CAPITAL, "10.00")))
    # Whatever was refused stays so under its key; a new key is decided anew.
    assert (await book(node, "all", all_of_it)).content == refused.content
    out = booking("capital", entry(CAPITAL, BANK, "1.00"))
    chargeback = booking("chargeback", entry(f"customer/{node.customer_id}/EUR", BANK, "1.00"))
    answers = await asyncio.gather(
        *(book(node, f"out{n}", out) for n in range(25)),
        *(book(node, f"back{n}", chargeback) for n in range(5)),
    )
    taken, back = answers[:25], answers[25:]
    assert sum(each.status_code == 201 for each in taken) == 10
    assert {each.json()["available"]["amount"] for each in taken if each.status_code != 201} == {
        "0.00"
    }
    assert {each.status_code for each in back} == {201}
    assert (await balance(node, BANK))["posted"] == "995.00"
    assert (await balance(node, CAPITAL))["posted"] == "0.00"
    # A bank that takes back what nobody has any more is a fact; nothing is decided on top of it.
    loss = booking("chargeback", entry("loss/chargeback/EUR", BANK, "5.00"))
    assert (await book(node, "loss", loss)).status_code == 201
    assert (await book(node, "more", out)).status_code == 422
    cured = booking("capital", entry(BANK, CAPITAL, "6.00"))
    assert (await book(node, "cured", cured)).status_code == 201
    assert (await book(node, "again", out)).status_code == 201
    database = Database.at(database_url)
    async with StoreUnits(database)() as unit:
        owed, covered = solvency("EUR", await unit.ledger.totals(["EUR"]))
    await database.close()
    assert (owed, covered) == (99_500, 99_500)


async def test_a_partner_that_paid_in_can_pay_its_customers(real_app: RealNode) -> None:
    node = real_app
    exchanged = booking(
        "conversion",
        entry("fx_position/EUR", BANK, "100.00"),
        entry("bank/sandbox_bank/USD", "fx_position/USD", "115.00", "USD"),
    )
    assert (await book(node, "fx", exchanged)).status_code == 201
    assert (await balance(node, "fx_position/USD"))["posted"] == "115.00"
    stranger = booking("partner_funding", entry(BANK, f"partner/par_{NOBODY}/EUR", "1.00"))
    missing = await book(node, "p", stranger)
    assert (missing.status_code, code_of(missing)) == (404, "not_found")
    funded = booking("partner_funding", entry(BANK, f"partner/{node.partner_id}/EUR", "7.00"))
    assert (await book(node, "q", funded)).status_code == 201
    assert (await balance(node, f"partner/{node.partner_id}/EUR"))["available"] == "7.00"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (booking("capital", entry(BANK, "chain/31337/0x00/EUR", "1.00")), "invalid_body"),
        (booking("capital", entry(BANK, "in_flight/31337/EUR", "1.00")), "invalid_body"),
        (booking("capital", entry("deferred/fee/EUR", CAPITAL, "1.00")), "invalid_body"),
        (booking("capital", entry(BANK, "income/fee/EUR", "1.00")), "invalid_body"),
        (booking("capital", entry("expense/gas/1/EUR", CAPITAL, "1.00")), "invalid_body"),
        (booking("capital", entry(BANK, BANK, "1.00")), "invalid_body"),
        (booking("capital", entry(BANK, CAPITAL, "0.00")), "invalid_body"),
        (booking("capital", entry(BANK, CAPITAL, "0.001")), "invalid_body"),
        (booking("capital", entry(BANK, CAPITAL, "1.00", "XXX")), "invalid_body"),
        (booking("capital", entry(BANK, CAPITAL, "1.00", "USD")), "invalid_body"),
        (
            booking("capital", entry("bank/sandbox_bank/USDC", "capital/USDC", "1.00", "USDC")),
            "currency_unknown",
        ),
        (booking("capital", entry(BANK, CAPITAL, "10000000000000.01")), "amount_out_of_range"),
        (booking("capital", entry("bank/other/EUR", CAPITAL, "1.00")), "rail_unknown"),
        (booking("capital"), "invalid_body"),
        (booking("gift", entry(BANK, CAPITAL, "1.00")), "invalid_body"),
        ({**booking("capital", entry(BANK, CAPITAL, "1.00")), "reason": " "}, "invalid_body"),
        (booking("correction", entry(BANK, CAPITAL, "1.00")), "invalid_body"),
        (booking("capital", entry(BANK, CAPITAL, "1.00"), break_id=f"brk_{NOBODY}"), "not_found"),
        (booking("capital", entry(BANK, CAPITAL, "1.00"), break_id="mine"), "not_found"),
        (
            booking("chargeback", entry(f"customer/cus_{NOBODY}/EUR", BANK, "1.00")),
            "not_found",
        ),
        (booking("chargeback", entry("customer/nobody/EUR", BANK, "1.00")), "not_found"),
    ],
)
async def test_what_may_not_be_booked_is_refused_and_writes_nothing(
    real_app: RealNode, body: dict[str, Any], code: str
) -> None:
    node = real_app
    refused = await book(node, "k", body)
    assert code_of(refused) == code, refused.text
    assert refused.status_code == (404 if code == "not_found" else 422)
    if code == "invalid_body":
        assert refused.json()["errors"]
    # Neither the key nor the books remember it.
    good = await book(node, "k", booking("capital", entry(BANK, CAPITAL, "1.00")))
    assert good.status_code == 201
    assert (await balance(node, CAPITAL))["posted"] == "1.00"


async def test_only_an_operator_books_by_hand_and_only_with_a_key(real_app: RealNode) -> None:
    node = real_app
    body = booking("capital", entry(BANK, CAPITAL, "1.00"))
    for secret in (node.partner, node.remitter):
        refused = await node.client.post(PATH, headers=headers(secret, "k"), json=body)
        assert (refused.status_code, code_of(refused)) == (403, "scope_missing")
    keyless = await node.client.post(PATH, headers=headers(node.operator), json=body)
    assert (keyless.status_code, code_of(keyless)) == (400, "idempotency_key_missing")


async def test_any_ledger_transaction_is_shown_by_its_sequence(real_app: RealNode) -> None:
    node = real_app
    first = await node.client.get(f"{PATH}/1", headers=headers(node.operator))
    customer = f"customer/{node.customer_id}/EUR"
    assert first.json()["kind"] == "top_up"
    assert first.json()["entries"] == [entry(BANK, customer, "1000.00")]
    for sequence in ("0", "99", "-1", "1.0", "one", "٣", "9" * 30, "01x"):
        missing = await node.client.get(f"{PATH}/{sequence}", headers=headers(node.operator))
        assert (missing.status_code, code_of(missing)) == (404, "not_found"), sequence


async def test_a_node_that_is_too_busy_says_when_to_come_back(
    client: httpx.AsyncClient, fake_node: FakeNode
) -> None:
    fake_node.bookings.fails_with = Overloaded("8192 requests wait already", retry_after_s=1)
    body = booking("capital", entry(BANK, CAPITAL, "1.00"))
    refused = await client.post(PATH, headers=headers("operator-key", "k"), json=body)
    assert (refused.status_code, code_of(refused)) == (503, "overloaded")
    assert refused.json()["retryable"] is True
    assert refused.headers["retry-after"] == "1"
    fake_node.bookings.fails_with = None
    again = await client.post(PATH, headers=headers("operator-key", "k"), json=body)
    assert again.status_code == 201


async def test_books_with_every_kind_of_booking_verify(
    real_app: RealNode, database_url: str
) -> None:
    node = real_app
    customer, partner = f"customer/{node.customer_id}/EUR", f"partner/{node.partner_id}/EUR"
    loss = "loss/chargeback/EUR"
    bodies = [
        booking("capital", entry(BANK, CAPITAL, "900.00")),
        booking("partner_funding", entry(BANK, partner, "50.00"), entry(partner, BANK, "8.00")),
        booking("conversion", entry("fx_position/EUR", BANK, "7.00")),
        booking("chargeback", entry(customer, BANK, "4.00"), entry(loss, BANK, "1.00")),
        booking("chargeback", entry(customer, BANK, "5000.00")),
    ]
    answers = await asyncio.gather(*(book(node, f"k{n}", each) for n, each in enumerate(bodies)))
    assert [each.status_code for each in answers] == [201, 201, 201, 201, 422]
    database = Database.at(database_url)
    verified = await VerifyService(StoreUnits(database)).verify()
    await database.close()
    assert list(verified.differences) == []
