"""Use cases: load, decide in the core, store; one database transaction each.

`Services` is everything an edge receives; `node.bootstrap` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.core.catalog import Catalog
    from node.core.ports.chain import AddressCodec
    from node.services.accounts import AccountService
    from node.services.health import HealthService
    from node.services.parties import PartyService
    from node.services.quoting import QuoteService
    from node.services.reconciling import ReconciliationService
    from node.services.settlement_operations import SettlementOperations
    from node.services.top_ups import TopUpService
    from node.services.transfers import TransferService
    from node.services.verifying import VerifyService


@dataclass(frozen=True, slots=True)
class Services:
    """What the edges use; they know nothing below it."""

    catalog: Catalog
    addresses: AddressCodec
    parties: PartyService
    quoting: QuoteService
    top_ups: TopUpService
    transfers: TransferService
    accounts: AccountService
    settlement: SettlementOperations
    reconciliation: ReconciliationService
    verifying: VerifyService
    health: HealthService
