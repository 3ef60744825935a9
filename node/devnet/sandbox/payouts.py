"""Payments of the demo partner for payouts that it registered, out of a settlement contract.

The contract is deployed and registered when it is first needed, and the node's bank gets local
money to pay out. What the bank does then, the beneficiary's account number says.
"""

from __future__ import annotations

import time
from typing import Any, Final

from eth_abi.abi import encode

from adapters.evm import artifacts
from node.core.settlement import PaymentRecord, settle_calldata
from node.core.units import Address
from node.devnet.errors import DevnetError
from node.devnet.sandbox.deposits import minor_of
from node.devnet.sandbox.site import ISSUER, Site, Wish

_FLOAT_MINOR: Final = 10**12
_CAP_MINOR: Final = 2**63 - 1
_BANK_PHP: Final = "10000000.00"


def register(site: Site, _: Wish) -> dict[str, Any]:
    """Make the demo partner one that payouts can be made for."""
    return {"contract": contract_of(site), "refund_address": contract_of(site)}


def pay(site: Site, wish: Wish) -> dict[str, Any]:
    """Pay a payout as it asks for."""
    payout = _payout(site, wish)
    return _settled(site, payout, minor_of(payout["deposit"]["amount"]))


def pay_short(site: Site, wish: Wish) -> dict[str, Any]:
    """A tenth is missing."""
    payout = _payout(site, wish)
    minor = minor_of(payout["deposit"]["amount"])
    return _settled(site, payout, minor - minor // 10)


def pay_as_stranger(site: Site, wish: Wish) -> dict[str, Any]:
    """The whole amount, from somebody who is not the partner's contract."""
    payout = _payout(site, wish)
    to, minor = payout["deposit"]["address"], minor_of(payout["deposit"]["amount"])
    receipt = site.send(site.token, "mint(address,uint256)", to, minor)
    return {"payout_id": payout["id"], "minor": minor, "tx_hash": receipt["transactionHash"]}


def contract_of(site: Site) -> str:
    """The demo partner's settlement contract with tokens, made and registered once."""
    known = f"contract of {site.node['name']}"
    if known in site.notes:
        return str(site.notes[known])
    roles = encode(
        ["address", "address", "address", "address", "uint64", "(address,uint64)[]"],
        [site.token, ISSUER, ISSUER, ISSUER, _CAP_MINOR, [(ISSUER, _CAP_MINOR)]],
    )
    contract = site.deploy(artifacts.load("TransferSettlement").bytecode + roles)
    site.send(site.token, "mint(address,uint256)", contract, _FLOAT_MINOR)
    body = {"chain_id": int(site.described["chain"]["chain_id"]), "address": contract}
    site.post(f"/v1/partners/{site.partner_id}/contracts", body, who="operator")
    _fill_bank(site)
    site.note(known, contract)
    return contract


def _fill_bank(site: Site) -> None:
    entry = {
        "debit": "bank/sandbox_bank/PHP",
        "credit": "capital/PHP",
        "currency": "PHP",
        "amount": _BANK_PHP,
    }
    body = {"kind": "capital", "reason": "local money of the sandbox's bank", "entries": [entry]}
    site.post("/v1/ledger/transactions", body, who="operator")


def _payout(site: Site, wish: Wish) -> dict[str, Any]:
    if wish.payout_id is None:
        raise DevnetError("name the payout to pay", remedy="add --payout pay_...")
    return site.get(f"/v1/payouts/{wish.payout_id}")


def _settled(site: Site, payout: dict[str, Any], minor: int) -> dict[str, Any]:
    number = time.time_ns()  # any that the contract has not used
    to = Address(bytes.fromhex(payout["deposit"]["address"][2:]))
    data = "0x" + settle_calldata([PaymentRecord(number, to, minor)]).hex()
    receipt = site.transact({"to": contract_of(site), "data": data})
    return {
        "payout_id": payout["id"],
        "minor": minor,
        "settlement_number": str(number),
        "tx_hash": receipt["transactionHash"],
    }
