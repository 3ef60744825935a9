"""The node's own addresses and keys by role, as the settings name them."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.evm.signers import settings_fault, signer_addresses
from node.config import Settings, SettingsInvalid
from node.core.catalog import USDC
from node.core.mirror import Watch
from node.core.signing import KeyRole, SigningFacts
from node.core.treasury import NodeAddresses
from node.core.units import Address
from node.services.transfers.acceptance import SettlementTarget


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """Whose transactions and balances are the node's.

    Attributes:
        lanes: Accounts that settle, in the order of the setting.
        treasury: May be an address whose key is elsewhere; None: there is none.
        pauser, rescuer: Accounts with that role in the contract, if their keys are here.
        treasury_signs: Whether the treasury's key is here.
        deposits: The contract that makes deposit addresses; None: the node offers none.
    """

    token: Address
    contract: Address
    lanes: tuple[Address, ...]
    treasury: Address | None
    pauser: Address | None
    rescuer: Address | None
    treasury_signs: bool
    deposits: Address | None = None

    @property
    def holders(self) -> tuple[Address, ...]:
        """What holds tokens for payouts."""
        return (self.contract,) if self.treasury is None else (self.contract, self.treasury)

    @property
    def everything(self) -> frozenset[Address]:
        """Every address of the node."""
        others = (each for each in (self.pauser, self.rescuer) if each is not None)
        return frozenset({*self.lanes, *self.holders, *others})

    @property
    def signers(self) -> Mapping[Address, KeyRole]:
        """Accounts whose keys are here, and what for."""
        others = {
            self.treasury if self.treasury_signs else None: KeyRole.TREASURY,
            self.pauser: KeyRole.PAUSER,
            self.rescuer: KeyRole.RESCUER,
        }
        lanes = dict.fromkeys(self.lanes, KeyRole.SETTLE)
        return {each: role for each, role in others.items() if each is not None} | lanes

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
        return Watch(
            chain_id,
            self.contract,
            self.token,
            USDC.code,
            native,
            self.everything,
            self.deposits,
        )

    def signing(self, settings: Settings) -> SigningFacts:
        """What the rules of every key's signatures refer to."""
        return SigningFacts(
            settings.chain_id,
            self.contract,
            self.token,
            self.treasury,
            self.everything - {self.contract},
            settings.fee_max_wei,
            self.deposits,
        )

    def movable(self, native: str) -> NodeAddresses:
        """Between which addresses the node moves its own money."""
        return NodeAddresses(
            self.contract,
            USDC.code,
            native,
            self.lanes,
            self.treasury,
            self.pauser,
            self.rescuer,
            self.treasury_signs,
            self.deposits,
        )


def own_keys(settings: Settings) -> OwnKeys:
    """Addresses of the settings; no secret is read.

    Raises:
        SettingsInvalid: A signer setting is not one; names it, and says how to write it.
        SignerUnavailable: A keystore cannot be read; names it.
    """
    for name in ("signer", "treasury_signer", "pauser_signer", "rescuer_signer"):
        setting = getattr(settings, name)
        if setting and (fault := settings_fault(setting)) is not None:
            raise SettingsInvalid(f"CORRIDOR_{name.upper()}: {fault}")

    def parsed(text: str) -> Address:
        return Address(bytes.fromhex(text[2:]))

    def only(name: str) -> Address | None:
        if not (setting := getattr(settings, name)):
            return None
        addresses = signer_addresses(setting)
        if len(addresses) != 1:
            raise SettingsInvalid(
                f"CORRIDOR_{name.upper()}: there are {len(addresses)} keys; name the file, or the"
                " address, of one"
            )
        return addresses[0]

    lanes = signer_addresses(settings.signer)
    return OwnKeys(
        token=parsed(settings.token_address),
        contract=parsed(settings.settlement_address),
        lanes=tuple(lanes[: settings.lanes or len(lanes)]),
        treasury=(
            parsed(settings.treasury_address)
            if settings.treasury_address
            else only("treasury_signer")
        ),
        pauser=only("pauser_signer"),
        rescuer=only("rescuer_signer"),
        treasury_signs=bool(settings.treasury_signer),
        deposits=parsed(settings.deposits_address) if settings.deposits_address else None,
    )
