"""The parts of payouts for partners: the receiving side.

Not here: what they share with everything else (`parts`).
"""

from dataclasses import dataclass
from functools import cached_property

from adapters.evm.addresses import Eip55
from adapters.evm.proofs import SettledNextTo
from adapters.failpoint import failpoint
from adapters.machine import new_id
from adapters.rails import SandboxBank
from node.bootstrap.parts import Parts
from node.core.ports.rails import PayoutRail
from node.services.payouts.delivering import PayoutDelivery
from node.services.payouts.refunding import PayoutExpiry, PayoutSteering, RefundPaying
from node.services.payouts.registering import PayoutRules, PayoutService
from node.services.payouts.standing import PayoutWatching


@dataclass(frozen=True)
class PayoutParts:
    """Made of the parts of a process."""

    parts: Parts

    @cached_property
    def rules(self) -> PayoutRules:
        """With what payouts are made; the sandbox's bank is the only rail there is."""
        settings = self.parts.settings
        rails: list[PayoutRail] = [SandboxBank(settings.database_url)] if settings.sandbox else []
        by_name = {each.name: each for each in rails}
        return PayoutRules(self.parts.target, by_name, settings.deposit_policy.late_grace)

    @cached_property
    def service(self) -> PayoutService:
        """Registers and shows."""
        parts = self.parts
        return PayoutService(
            units=parts.units,
            catalog=parts.catalog,
            forwarders=parts.forwarders,
            rules=self.rules,
            addresses=Eip55(),
            new_id=new_id,
        )

    @cached_property
    def desk(self) -> PayoutSteering:
        """What partners and operators decide."""
        return PayoutSteering(self.parts.units, self.parts.catalog, new_id)

    @cached_property
    def delivery(self) -> PayoutDelivery:
        """Tells the rails."""
        parts, at = self.parts, failpoint(self.parts.settings.failpoint)
        return PayoutDelivery(parts.units, parts.catalog, self.rules.rails, new_id, at)

    @cached_property
    def refunds(self) -> RefundPaying:
        """Sends money back."""
        parts, at = self.parts, failpoint(self.parts.settings.failpoint)
        return RefundPaying(parts.units, parts.catalog, parts.acceptance, Eip55(), new_id, at)

    @cached_property
    def expiry(self) -> PayoutExpiry:
        """Ends what was not paid in time."""
        return PayoutExpiry(self.parts.units, self.parts.settings.chain_id, new_id)

    @cached_property
    def watching(self) -> PayoutWatching:
        """Tells of what stands still."""
        return PayoutWatching(self.parts.units, new_id)

    @cached_property
    def proofs(self) -> SettledNextTo:
        """What stands next to payments of partners."""
        return self.parts.payment_proofs
