"""A node that takes bulk transfers, over a real database; rows are made in one line."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import orjson

from adapters.evm.addresses import Eip55
from adapters.machine import new_id
from node.core.bulk import (
    BulkFile,
    BulkRow,
    Fault,
    FileRow,
    Form,
    Mode,
    Order,
    Progress,
    RowStatus,
)
from node.core.errors import NodeError
from node.core.ids import Prefix, decode_id, encode_id
from node.core.parties import Principal
from node.core.ports.idempotency import Answer, Claim
from node.core.units import Address
from node.services.bulk.asking import PartnerRows
from node.services.bulk.bulk_transfers import BulkOrder, BulkService
from node.services.bulk.working import BulkWorker
from node.services.payouts.ordering import PayoutOrdering, PayoutOrderTerms
from node.services.payouts.partner_quotes import PartnerQuotes
from node.services.transfers.acceptance import Acceptance
from tests.builders import BENEFICIARY, CHAIN_ID, CONTRACT, target
from tests.quoting import Process, QuotingNode, a_catalog

_PASSES_MAX = 200


class Owner(ABC):
    """What the owner of bulk transfers sees of them."""

    payer: Principal

    @property
    @abstractmethod
    def service(self) -> BulkService:
        """As HTTP has it."""

    async def shown(self, bulk_id: str) -> Progress:
        """As its owner sees it."""
        return await self.service.get(self.payer, bulk_id)

    async def rows(self, bulk_id: str, status: RowStatus | None = None) -> Sequence[BulkRow]:
        """All rows, as the owner sees them."""
        return await self.service.rows(
            self.payer, bulk_id, status=status, after_line=0, limit=10_000
        )


@dataclass
class Bulking(Owner):
    """A node with a payer that has money."""

    node: QuotingNode
    process: Process
    payer: Principal

    @classmethod
    async def at(cls, database_url: str, *, eur_minor: int = 10**9) -> "Bulking":
        """An empty database becomes such a node."""
        node = await QuotingNode.at(database_url)
        payer = await node.ledger.remitter(eur_minor=eur_minor)
        return cls(node, await node.process(), payer)

    @classmethod
    async def poor(cls, other: "Bulking", eur_minor: int) -> "Bulking":
        """The same node with a payer that has so much."""
        return cls(other.node, other.process, await other.node.ledger.remitter(eur_minor=eur_minor))

    @property
    def service(self) -> BulkService:
        """As HTTP has it."""
        return BulkService(self.process.units, new_id)

    @property
    def worker(self) -> BulkWorker:
        """As a new worker process has it."""
        return worker_of(self.process)

    @property
    def payer_id(self) -> UUID:
        """Of the payer."""
        assert self.payer.customer_id is not None
        return self.payer.customer_id

    def row(self, line: int, amount: str = "1.00", **changes: object) -> FileRow:
        """A row that sells so many euros."""
        return a_row(self.payer_id, line, amount, **changes)

    async def take_in(
        self,
        rows: Sequence[FileRow],
        *,
        mode: Mode = Mode.BEST_EFFORT,
        key: str | None = None,
        accept_within_s: int = 3600,
    ) -> str:
        """Upload a file; the id of the bulk transfer."""
        answer = await self.upload(rows, mode=mode, key=key, accept_within_s=accept_within_s)
        assert answer.status == 202, answer
        found: str = orjson.loads(answer.body)["id"]
        return found

    async def upload(
        self,
        rows: Sequence[FileRow],
        *,
        mode: Mode = Mode.BEST_EFFORT,
        key: str | None = None,
        accept_within_s: int = 3600,
    ) -> Answer:
        """Upload a file; the answer."""
        order = BulkOrder(self.payer, a_file(rows), mode, accept_within_s)
        name = key or str(new_id())
        claim = Claim(self.payer.key, "POST", "/v1/bulk-transfers", name, bytes(32))
        return await self.service.create(order, claim, rendered, refused)

    async def work(self) -> int:
        """Until a pass does nothing; how many rows were tried."""
        return await until_idle(self.worker)

    async def wake(self) -> None:
        """Let no bulk transfer rest."""
        await self.node.execute("UPDATE bulk_transfer SET next_at = now()")

    async def codes(self, bulk_id: str) -> dict[int, str]:
        """Line -> code of the first fault."""
        rows = await self.rows(bulk_id, RowStatus.REJECTED)
        return {each.line: each.faults[0].code for each in rows}

    async def transfers(self) -> int:
        """How many there are in all."""
        [row] = await self.node.fetch("SELECT count(*) AS count FROM transfer")
        return int(row["count"])

    async def close(self) -> None:
        """Close every connection."""
        await self.node.stack.aclose()


async def until_idle(worker: BulkWorker) -> int:
    """Work until a pass does nothing; how many rows were tried."""
    done = 0
    for _ in range(_PASSES_MAX):
        tried = await worker.run_once()
        done += tried
        if tried == 0:
            return done
    raise AssertionError("the worker does not come to an end")


def worker_of(process: Process) -> BulkWorker:
    """The job over the services of a process."""
    acceptance = Acceptance(process.units, target(), Eip55(), new_id)

    async def refresh() -> None:
        """Tests say what the sources say."""

    units, catalog = process.units, a_catalog()
    quotes = PartnerQuotes(units, process.quoting, catalog, [], 60)
    terms = PayoutOrderTerms(CHAIN_ID, Address(bytes(20)), CONTRACT)
    asking = PartnerRows(units, quotes, PayoutOrdering(units, [], terms, new_id))
    return BulkWorker(units, catalog, process.quoting, acceptance, refresh, asking)


def a_row(payer_id: UUID, line: int, amount: str = "1.00", **changes: object) -> FileRow:
    """A row that sells so many euros of a customer."""
    order = Order(
        client_reference=f"row-{line}",
        customer_id=payer_id,
        sell="EUR",
        buy="USDC",
        sell_amount=amount,
        buy_amount=None,
        name="Ben",
        country="PH",
        address=BENEFICIARY,
        purpose=None,
    )
    order = replace(order, **changes)  # type: ignore[arg-type]
    return FileRow(line, order.client_reference, order)


def a_faulty_row(line: int) -> FileRow:
    """A row that could not be read."""
    return FileRow(
        line, None, None, (Fault("/sell/amount", "amount_invalid", "write a plain decimal"),)
    )


def a_file(rows: Sequence[FileRow]) -> BulkFile:
    """A file of these rows."""
    return BulkFile(Form.JSON_LINES, bytes(32), rows)


def rendered(progress: Progress) -> Answer:
    """What the tests' edge answers."""
    body = {"id": encode_id(Prefix.BULK, progress.bulk.id), "status": progress.bulk.status}
    return Answer(202, orjson.dumps(body))


def refused(error: NodeError) -> Answer:
    """Refusals are raised where a test looks at them."""
    raise error


def id_of(bulk_id: str) -> UUID:
    """As the database has it."""
    return decode_id(Prefix.BULK, bulk_id)
