"""The node's own addresses and keys by role, as the settings name them."""

from dataclasses import dataclass

from adapters.evm.signers import signer_addresses
from node.config import Settings
from node.core.catalog import USDC
from node.core.mirror import Watch
from node.core.units import Address
from node.services.acceptance import SettlementTarget
from node.services.settlement_operations import NodeAddresses


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """Whose transactions and balances are the node's.

    Attributes:
        lanes: Accounts that settle, in the order of the setting.
        treasury: May be an address whose key is elsewhere; None: there is none.
        pauser, rescuer: Accounts with that role in the contract, if their keys are here.
    """

    token: Address
    contract: Address
    lanes: tuple[Address, ...]
    treasury: Address | None
    pauser: Address | None
    rescuer: Address | None

    @property
    def holders(self) -> tuple[Address, ...]:
        """What holds tokens for payouts."""
        return (self.contract,) if self.treasury is None else (self.contract, self.treasury)

    @property
    def everything(self) -> frozenset[Address]:
        """Every address of the node."""
        others = (each for each in (self.pauser, self.rescuer) if each is not None)
        return frozenset({*self.lanes, *self.holders, *others})

    def target(self, settings: Settings) -> SettlementTarget:
        """What transfers are bound to at acceptance."""
        return SettlementTarget(
            settings.chain_id,
            self.contract,
            USDC.code,
            self.holders,
            self.everything | {Address(bytes(20)), self.token},
            settings.settle_within_s,
        )

    def watch(self, chain_id: int, native: str) -> Watch:
        """What the mirror follows."""
        return Watch(chain_id, self.contract, self.token, USDC.code, native, self.everything)

    def movable(self, native: str) -> NodeAddresses:
        """Between which addresses the node moves its own money."""
        return NodeAddresses(self.contract, USDC.code, native, self.lanes, self.treasury)


def own_keys(settings: Settings) -> OwnKeys:
    """Addresses of the settings; no secret is read.

    Raises:
        SignerUnavailable: A keystore cannot be read; names it.
    """

    def parsed(text: str) -> Address:
        return Address(bytes.fromhex(text[2:]))

    def only(setting: str) -> Address | None:
        return signer_addresses(setting)[0] if setting else None

    lanes = signer_addresses(settings.signer)
    return OwnKeys(
        token=parsed(settings.token_address),
        contract=parsed(settings.settlement_address),
        lanes=tuple(lanes[: settings.lanes or len(lanes)]),
        treasury=(
            parsed(settings.treasury_address)
            if settings.treasury_address
            else only(settings.treasury_signer)
        ),
        pauser=only(settings.pauser_signer),
        rescuer=only(settings.rescuer_signer),
    )
