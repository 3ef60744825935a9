"""The nine laws of the ledger against callers: some 200 requests at once, to two processes.

Both are whole nodes on one database. Top-ups, transfers, cancels, bookings, halts and callers that
go away run at once, while the worker pays transfers on a real chain, the mirror books what is
final, and a reader looks on. Each law is then asked for by itself, through the interface where it
can be, by `verify` and by a full reconciliation. Not here: the laws against SQL
(`tests/store/test_laws.py`), and processes that are killed (`tests/e2e/test_ledger_crashes.py`).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.api.app import create_app
from node.bootstrap.wiring import Node, open_node
from node.core.ids import Prefix, decode_id, encode_id
from node.core.parties import Principal, Role
from node.core.transfers import TERMINAL
from tests.api.conftest import BENEFICIARY, open_client, settings_in
from tests.api.test_bad_input import headers
from tests.mirrored import MirroredNode, failing
from tests.onchain import LANE_KEY
from tests.rig import AnvilServer

BOOK = "/v1/ledger/transactions"
TOP_UPS = RICH_TRANSFERS = POOR_TRANSFERS = CAPITAL_OUT = 20
POOR_CAN_PAY = 10  # of 10.00 EUR each
CAPITAL_IN = 10  # GBP
GONE = 6  # callers that go away before they are answered
PASSES_MAX = 300  # after the last request is answered
LIMIT_S = 300
IN_PROGRESS = "idempotency_in_progress"

Document = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """A request that may be made again; `process` is who is asked."""

    process: int
    path: str
    key: str
    body: Document


@dataclass
class World:
    """Two processes of one node, who asks them, and what they answered."""

    clients: Sequence[httpx.AsyncClient]
    node: Node
    chain: MirroredNode
    operator: str
    partner: str
    partner_id: str
    rich: str = ""
    poor: str = ""
    told: list[tuple[Order, httpx.Response]] = field(default_factory=list)
    readings: int = 0
    canceled: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, order: Order) -> httpx.Response:
        """Order something, as the operator or the partner, and note the answer.

        Who is told that the same request is still under way asks again, as callers are to.
        """
        is_operators = order.path.startswith(("/v1/ledger", "/v1/fx"))
        secret = self.operator if is_operators else self.partner
        async with asyncio.timeout(LIMIT_S):
            while True:
                answer = await self.clients[order.process].post(
                    order.path, headers=headers(secret, order.key), json=order.body
                )
                if answer.status_code != 409 or answer.json()["code"] != IN_PROGRESS:
                    self.told.append((order, answer))
                    return answer

    async def done(self, order: Order) -> Document:
        """Order something that must succeed."""
        answer = await self.post(order)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def see(self, path: str, process: int = 0, **query: object) -> Document:
        """What the operator is shown."""
        answer = await self.clients[process].get(
            path, headers=headers(self.operator), params={k: str(v) for k, v in query.items()}
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def see_all(self, path: str, **query: str) -> list[Document]:
        """A list, all its pages."""
        found: list[Document] = []
        while True:
            page = await self.see(path, 0, limit=200, **query)
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            query = {**query, "cursor": page["next_cursor"]}

    async def head(self) -> int:
        """The newest sequence."""
        return int((await self.see("/v1/ledger/trial-balance"))["as_of"]["sequence"])

    async def transactions(self) -> dict[int, Document | None]:
        """By sequence: each ledger transaction; None: there is none (a resolution)."""
        found: dict[int, Document | None] = {}
        for sequence in range(1, await self.head() + 1):
            shown = await self.clients[sequence % 2].get(
                f"{BOOK}/{sequence}", headers=headers(self.operator)
            )
            found[sequence] = shown.json() if shown.status_code == 200 else None
        return found

    def answers(self, word: str) -> list[httpx.Response]:
        """What those were told whose key starts with a word."""
        return [answer for order, answer in self.told if order.key.startswith(word)]


@pytest.fixture
async def world(
    database_url: str, tmp_path: Path, start_anvil: Callable[..., AnvilServer]
) -> AsyncIterator[World]:
    """Both processes, a chain that mines by itself; two customers of a partner, 50.00 GBP."""
    chain = await MirroredNode.open(database_url, start_anvil())
    settings = settings_in(
        tmp_path,
        database_url,
        bytes.fromhex(LANE_KEY.removeprefix("0x")),
        chain_rpc_urls=(chain.onchain.anvil.rpc_url,),
        token_address="0x" + chain.onchain.token.hex(),
        settlement_address="0x" + chain.onchain.contract.hex(),
        quote_ttl_s=600,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(chain.close)
        nodes = [await stack.enter_async_context(open_node(settings)) for _ in range(2)]
        for each in nodes:
            await each.rates.refresh()
            each.bound.set()  # the settings are those of this database and chain
        clients = [
            await stack.enter_async_context(open_client(create_app(each.services, sandbox=True)))
            for each in nodes
        ]
        parties = nodes[0].parties
        partner = await parties.create_partner("shop")
        principal = Principal(Role.PARTNER, "shop", partner_id=partner.id)
        world = World(
            clients,
            nodes[0],
            chain,
            (await parties.create_key(Principal(Role.OPERATOR, "ops"))).secret,
            (await parties.create_key(principal)).secret,
            encode_id(Prefix.PARTNER, partner.id),
        )
        world.rich, world.poor = await customer(world, "rich"), await customer(world, "poor")
        await world.done(top_up(world, "start-rich", world.rich, "1000.00"))
        await world.done(top_up(world, "start-poor", world.poor, f"{10 * POOR_CAN_PAY}.00"))
        await world.done(top_up(world, "start-pounds", world.poor, "50.00", currency="GBP"))
        yield world


async def customer(world: World, name: str) -> str:
    made = await world.done(
        Order(0, "/v1/customers", f"made-{name}", {"name": name, "country": "DE"})
    )
    return str(made["id"])


def top_up(
    world: World,
    key: str,
    customer_id: str,
    amount: str,
    *,
    currency: str = "EUR",
    process: int = 0,
) -> Order:
    body = {"currency": currency, "amount": amount, "rail": "sandbox_bank", "reference": key}
    return Order(process, f"/v1/customers/{customer_id}/top-ups", key, body)


def booking(process: int, key: str, kind: str, debit: str, credit: str, amount: str) -> Order:
    entry = {"debit": debit, "credit": credit, "currency": debit[-3:], "amount": amount}
    return Order(process, BOOK, key, {"kind": kind, "reason": "a try", "entries": [entry]})


async def transfer(world: World, process: int, key: str, customer_id: str) -> Order:
    """An order of 10.00 EUR at a quote of its own."""
    body = {"sell": {"currency": "EUR", "amount": "10.00"}, "buy": {"currency": "USDC"}}
    quote = await world.done(Order(process, "/v1/quotes", f"quote-{key}", body))
    person = {"name": "Bea", "country": "PH", "address": BENEFICIARY}
    wanted = {"quote_id": quote["id"], "customer_id": customer_id, "beneficiary": person}
    return Order(process, "/v1/transfers", key, wanted)


async def pay_and_cancel(world: World, order: Order, place: int) -> None:
    """The same transfer ordered from both processes; two of three are then canceled by both."""
    orders = [order, Order(1 - order.process, order.path, order.key, order.body)]
    first, _ = await asyncio.gather(*(world.post(each) for each in orders))
    if place % 3 == 0:
        return
    path = f"{order.path}/{first.json()['id']}/cancel"
    await asyncio.gather(*(world.post(Order(n, path, f"cancel-{place}-{n}", {})) for n in range(2)))
    world.canceled.set()


async def leave_and_ask_again(world: World, order: Order) -> None:
    """A caller that goes away while its request is carried out, and comes back with its key."""
    asked = asyncio.create_task(world.post(order))
    for _ in range(sha256(order.key.encode()).digest()[0] % 40):
        await asyncio.sleep(0)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    await world.post(Order(1 - order.process, order.path, order.key, order.body))


async def all_requests(world: World) -> list[Awaitable[object]]:
    """Everything that is asked at once, kinds mixed."""
    bank, pounds, partner = (
        "bank/sandbox_bank/GBP",
        "capital/GBP",
        f"partner/{world.partner_id}/GBP",
    )
    poor = f"customer/{world.poor}/GBP"
    await world.done(booking(0, "capital-start", "capital", bank, pounds, f"{CAPITAL_IN}.00"))
    mixed: dict[str, Awaitable[object]] = {}
    for n in range(TOP_UPS):
        for process in range(2):
            order = top_up(world, f"top-up-{n}", world.rich, "1.00", process=process)
            mixed[f"top-up {n} {process}"] = world.post(order)
    for n in range(RICH_TRANSFERS):
        order = await transfer(world, n % 2, f"rich-{n}", world.rich)
        mixed[f"rich {n}"] = pay_and_cancel(world, order, n)
    for n in range(POOR_TRANSFERS):
        order = await transfer(world, n % 2, f"poor-{n}", world.poor)
        mixed[f"poor {n}"] = world.post(order)
    for n in range(CAPITAL_OUT):
        order = booking(n % 2, f"capital-{n}", "capital", pounds, bank, "1.00")
        mixed[f"capital {n}"] = world.post(order)
    for n in range(GONE):
        order = top_up(world, f"gone-{n}", world.rich, "1.00", process=n % 2)
        mixed[f"gone {n}"] = leave_and_ask_again(world, order)
    pounds_sold = {"sell": {"currency": "GBP", "amount": "10.00"}, "buy": {"currency": "USDC"}}
    for n in range(5):
        for order in (
            *(Order(each, "/v1/quotes", f"pounds-{n}-{each}", pounds_sold) for each in range(2)),
            booking(
                n % 2, f"all-{n}", "capital", "capital/EUR", "bank/sandbox_bank/EUR", "9999999.00"
            ),
            booking(n % 2, f"exchange-{n}", "conversion", "fx_position/GBP", bank, "1.00"),
            booking(n % 2, f"chargeback-{n}", "chargeback", poor, bank, "1.00"),
            booking(n % 2, f"funding-{n}", "partner_funding", bank, partner, "2.00"),
            booking(n % 2, f"funded-{n}", "partner_funding", partner, bank, "1.00"),
            Order(n % 2, "/v1/fx/halt", f"halt-{n}", {"currency": "GBP", "note": "a try"}),
            Order(1 - n % 2, "/v1/fx/resume", f"resume-{n}", {"currency": "GBP"}),
        ):
            mixed[order.key] = world.post(order)
    return [mixed[each] for each in sorted(mixed, key=lambda key: sha256(key.encode()).digest())]


async def settle(world: World, is_over: asyncio.Event) -> None:
    """The worker and the mirror at work; at the end, until every transfer has ended."""
    worker = await world.chain.settlement()
    async with asyncio.timeout(LIMIT_S):
        await world.canceled.wait()  # the first one wins, the others race the worker
    passes_over = 0
    while passes_over < PASSES_MAX:
        was_over = is_over.is_set()
        passes_over += was_over
        await worker.run_once()
        world.chain.mine()
        await world.chain.follow()
        if was_over:
            async with world.chain.ledger.units() as unit:
                found = await unit.transfers.lock_many(
                    [
                        decode_id(Prefix.TRANSFER, each.json()["id"])
                        for word in ("rich-", "poor-")
                        for each in world.answers(word)
                        if each.status_code == 201
                    ]
                )
            if all(each.state in TERMINAL for each in found):
                return
    pytest.fail("the transfers never end")


async def look_on(world: World, settling: asyncio.Task[None]) -> None:
    """A reader of both processes: at no instant may debits and credits differ."""
    sequence = 0
    while not settling.done():
        trial = await world.see("/v1/ledger/trial-balance", world.readings % 2)
        assert all(each["debits"] == each["credits"] for each in trial["data"]), trial
        assert trial["as_of"]["sequence"] >= sequence, "what was read is gone again"
        sequence = trial["as_of"]["sequence"]
        for customer_id in (world.rich, world.poor):
            path = f"/v1/customers/{customer_id}/balances"
            balances = (await world.see(path, 1 - world.readings % 2))["data"]
            assert all(Decimal(each["available"]) >= 0 for each in balances), balances
        world.readings += 1


async def law_1_every_entry_has_two_sides(world: World) -> None:
    for sequence in range(await world.head() + 1):
        trial = await world.see("/v1/ledger/trial-balance", sequence % 2, sequence=sequence)
        assert all(each["debits"] == each["credits"] for each in trial["data"]), sequence


async def law_2_nothing_booked_is_changed(world: World, before: dict[int, Document | None]) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        for path in (f"{BOOK}/1", BOOK, "/v1/ledger/accounts"):
            refused = await world.clients[0].request(
                method, path, headers=headers(world.operator, "k"), json={}
            )
            assert refused.status_code == 405, path
    after = await world.transactions()
    assert before.items() <= after.items()
    for _, answer in world.told:
        if answer.headers.get("location", "").startswith(BOOK):
            made = answer.json()
            assert after[made["sequence"]] == made


async def law_3_a_balance_is_the_sum_of_its_entries(world: World) -> None:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for each in (await world.transactions()).values():
        if each is not None and each["status"] == "posted":
            for entry in each["entries"]:
                sums[entry["debit"]] += Decimal(entry["amount"])
                sums[entry["credit"]] -= Decimal(entry["amount"])
    for account in await world.see_all("/v1/ledger/accounts"):
        sign = 1 if account["kind"] in ("asset", "expense") else -1
        assert Decimal(account["posted"]) == sign * sums[account["path"]], account["path"]


async def law_4_nobody_spends_what_is_not_there(world: World) -> None:
    answers = world.answers("poor-")
    assert Counter(each.status_code for each in answers) == {
        201: POOR_CAN_PAY,
        422: POOR_TRANSFERS - POOR_CAN_PAY,
    }
    assert {each.json()["code"] for each in answers if each.status_code != 201} == {
        "insufficient_funds"
    }


async def law_5_what_is_held_ends_once_as_a_whole(world: World) -> None:
    ends = Counter[str]()
    for each in await world.see_all("/v1/transfers"):
        told = [
            answer
            for order, answer in world.told
            if order.key.startswith("cancel-") and each["id"] in order.path
        ]
        agreed = {answer.status_code for answer in told}
        assert agreed <= {200, 409}
        assert each["status"] == ("canceled" if 200 in agreed else "completed")
        ends[each["status"]] += 1
    assert ends["canceled"] > 0
    assert ends["completed"] == len(world.chain.onchain.payouts())
    assert ends.total() == RICH_TRANSFERS + POOR_CAN_PAY
    held = Counter(
        each["status"]
        for each in (await world.transactions()).values()
        if each is not None and each["kind"] == "transfer"
    )
    assert held == {"posted": ends["completed"], "voided": ends["canceled"]}


async def law_6_a_key_books_once(world: World) -> None:
    told = [each for each in world.told if each[1].status_code < 500]
    assert {answer.status_code for _, answer in told} >= {200, 201, 422}
    by_key: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for order, answer in told:
        by_key[order.path, order.key].add(answer.content)
    assert {len(contents) for contents in by_key.values()} == {1}
    head = await world.head()
    for order, answer in told:
        again = await world.post(order)
        assert (again.status_code, again.content) == (answer.status_code, answer.content), order
    assert await world.head() == head


async def law_7_sequences_have_no_gaps(world: World) -> None:
    transactions = await world.transactions()
    ended = [
        each for each in transactions.values() if each and each["kind"] == "transfer"
    ]  # each by one row that has a sequence of its own
    assert list(transactions.values()).count(None) == len(ended)
    verified = await world.node.verifying.verify()
    assert verified.sequences == len(transactions) == await world.head()


async def law_8_what_is_owed_is_covered(world: World) -> None:
    out = [each for n in range(CAPITAL_OUT) for each in world.answers(f"capital-{n}")]
    assert sum(each.status_code == 201 for each in world.answers("capital-")) == CAPITAL_IN + 1
    assert {each.json()["code"] for each in out if each.status_code != 201} == {
        "insufficient_funds"
    }
    assert {each.status_code for each in world.answers("all-")} == {422}
    for word in ("exchange-", "chargeback-", "funding-"):
        assert {each.status_code for each in world.answers(word)} == {201}


async def law_9_nothing_is_half_done(world: World) -> None:
    assert {each.status_code for each in world.answers("gone-")} == {201}
    kinds = Counter(
        each["detail"]["reference"].rpartition("-")[0]
        for each in (await world.transactions()).values()
        if each is not None and each["kind"] == "top_up" and "reference" in each["detail"]
    )
    assert kinds == {"start": 3, "top-up": TOP_UPS, "gone": GONE}


async def test_the_nine_laws_hold_while_200_requests_come_at_once_to_two_processes(
    world: World,
) -> None:
    before = await world.transactions()
    requests, is_over = await all_requests(world), asyncio.Event()
    told_before = len(world.told)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        settling = group.create_task(settle(world, is_over))
        group.create_task(look_on(world, settling))
        await asyncio.gather(*requests)
        is_over.set()
    assert len(world.told) - told_before >= 197
    assert world.readings > 1
    assert {each.status_code for each in world.answers("pounds-")} <= {201, 503}
    assert {each.status_code for word in ("halt-", "resume-") for each in world.answers(word)} == {
        200
    }
    await law_1_every_entry_has_two_sides(world)
    await law_2_nothing_booked_is_changed(world, before)
    await law_3_a_balance_is_the_sum_of_its_entries(world)
    await law_4_nobody_spends_what_is_not_there(world)
    await law_5_what_is_held_ends_once_as_a_whole(world)
    await law_7_sequences_have_no_gaps(world)
    await law_8_what_is_owed_is_covered(world)
    await law_9_nothing_is_half_done(world)
    await law_6_a_key_books_once(world)  # the last: it asks for everything once more
    assert (await world.node.verifying.verify()).differences == []
    run = await world.chain.reconcile()
    assert failing(run) == []
    assert {"solvency:EUR", "solvency:GBP", "solvency:USDC"} <= {each.name for each in run.checks}
