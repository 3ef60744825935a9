"""What the routes of reports call. See `node.api.services` for why this is a Protocol."""

from datetime import date
from typing import Protocol

from node.core.parties import Principal
from node.core.ports.reports import CostLine, PayoutLine
from node.services.transfers.reports import Report


class Reports(Protocol):
    """See `node.services.transfers.reports.ReportService`."""

    async def costs(
        self, principal: Principal, first: date | None, last: date | None, /
    ) -> Report[CostLine]:
        """Fees and exchange of transfers."""
        ...

    async def payouts(
        self, principal: Principal, first: date | None, last: date | None, /
    ) -> Report[PayoutLine]:
        """Payouts and where they are on the chain."""
        ...
