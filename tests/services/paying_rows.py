"""A node that takes bulk transfers whose rows a partner pays out; the partner is a fake."""

from dataclasses import dataclass

import orjson

from adapters.machine import new_id
from node.core.bulk import FileRow, Mode, RowStatus
from node.core.parties import Principal
from node.core.ports.idempotency import Claim
from node.services.bulk.asking import PartnerRows
from node.services.bulk.bulk_transfers import BulkOrder, BulkService
from node.services.bulk.working import BulkWorker
from tests.fake_partner import ACCOUNT
from tests.services.bulking import Owner, a_file, a_row, refused, rendered, until_idle
from tests.services.partnering import Partnered


@dataclass
class PayingRows(Owner):
    """Files of one payer of the sending node."""

    sender: Partnered
    payer: Principal

    @classmethod
    async def over(cls, sender: Partnered, eur_minor: int = 10**6) -> "PayingRows":
        """A payer that has so much."""
        return cls(sender, await sender.node.ledger.remitter(eur_minor=eur_minor))

    @property
    def service(self) -> BulkService:
        """As HTTP has it."""
        return BulkService(self.sender.node.ledger.units, new_id)

    def paid_out(self, line: int, amount: str = "200.00", **changes: object) -> FileRow:
        """A row that a partner pays out."""
        usual: dict[str, object] = {"buy": "PHP", "address": "", "account": ACCOUNT, "name": "Jose"}
        return self.to_address(line, amount, **{**usual, **changes})

    def to_address(self, line: int, amount: str = "200.00", **changes: object) -> FileRow:
        """A row that gets the token itself."""
        assert self.payer.customer_id is not None
        return a_row(self.payer.customer_id, line, amount, **changes)

    async def take_in(self, *rows: FileRow, mode: Mode = Mode.BEST_EFFORT) -> str:
        """Upload a file; the id of the bulk transfer."""
        claim = Claim(self.payer.key, "POST", "/v1/bulk-transfers", str(new_id()), bytes(32))
        order = BulkOrder(self.payer, a_file(rows), mode)
        answer = await self.service.create(order, claim, rendered, refused)
        found: str = orjson.loads(answer.body)["id"]
        return found

    async def worker(self) -> BulkWorker:
        """The job as a new process has it."""
        sender, one_leg = self.sender, await self.sender.one_leg()
        units, quotes = sender.node.ledger.units, await sender.quoting(one_leg)
        asking = PartnerRows(units, quotes, sender.ordering, sender.at)

        async def refresh() -> None:
            """Tests say what the sources say."""

        return BulkWorker(units, sender.catalog, one_leg, sender.acceptance, refresh, asking)

    async def work(self) -> int:
        """A new process works until a pass does nothing; how many rows were tried."""
        worker = await self.worker()
        await self.wake()
        return await until_idle(worker)

    async def wake(self) -> None:
        """Let no bulk transfer rest, or be held by a process that is gone."""
        await self.sender.node.execute("UPDATE bulk_transfer SET next_at = now()")

    async def codes(self, bulk_id: str) -> dict[int, tuple[str, str]]:
        """Line -> place and code of the first fault."""
        rows = await self.rows(bulk_id, RowStatus.REJECTED)
        return {each.line: (each.faults[0].pointer, each.faults[0].code) for each in rows}

    async def transfers(self) -> int:
        """How many there are in all."""
        [row] = await self.sender.node.rows("SELECT count(*) AS count FROM transfer")
        return int(row["count"])
