"""Every trigger by its name: what begins it and, where it lasts, what ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.devnet.sandbox import (
    access,
    chain_faults,
    clock,
    deposits,
    payouts,
    processes,
    rates,
    receiver,
)
from node.devnet.sandbox.site import Site, Wish


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that can be made to happen.

    Attributes:
        begin: Does it, and says what it did.
        end: Undoes it; None: it does not last.
        stops_chain: The chain answers nothing while it lasts.
    """

    begin: Callable[[Site, Wish], dict[str, Any]]
    end: Callable[[Site, Wish], object] | None = None
    stops_chain: bool = False

    @property
    def line(self) -> str:
        """What it does, on one line."""
        return (self.begin.__doc__ or "").partition("\n")[0]


TRIGGERS: Final[Mapping[str, Trigger]] = {
    "clock": Trigger(clock.move),
    "rates_contradict": Trigger(rates.contradict, rates.agree),
    "rate_source_away": Trigger(rates.remove_source, rates.restore_source),
    "quoting_halted": Trigger(rates.halt, rates.resume),
    "sale_limited": Trigger(access.limit_sales, access.unlimit_sales),
    "customer_without_money": Trigger(access.poor_customer),
    "reorg": Trigger(chain_faults.reorg),
    "transactions_dropped": Trigger(chain_faults.drop_transactions),
    "address_denied": Trigger(chain_faults.deny_address, chain_faults.undeny_address),
    "token_paused": Trigger(chain_faults.pause_token, chain_faults.unpause_token),
    "lanes_without_gas": Trigger(chain_faults.empty_lanes, chain_faults.fill_lanes),
    "gas_spike": Trigger(chain_faults.spike_gas, chain_faults.calm_gas),
    "chain_away": Trigger(chain_faults.freeze_chain, chain_faults.thaw_chain, stops_chain=True),
    "settlement_paused": Trigger(processes.pause_settlement, processes.resume_settlement),
    "worker_killed": Trigger(processes.kill_worker),
    "database_killed": Trigger(processes.kill_database),
    "deposit_short": Trigger(deposits.pay_short),
    "deposit_over": Trigger(deposits.pay_over),
    "deposit_late": Trigger(deposits.pay_late),
    "deposit_too_late": Trigger(deposits.pay_too_late),
    "deposit_twice": Trigger(deposits.pay_twice),
    "deposit_wrong_token": Trigger(deposits.pay_wrong_token),
    "payouts_offered": Trigger(payouts.register),
    "payout_paid": Trigger(payouts.pay),
    "payout_short": Trigger(payouts.pay_short),
    "payout_by_stranger": Trigger(payouts.pay_as_stranger),
    "partner_away": Trigger(processes.stop_partner, processes.continue_partner),
    "key_expired": Trigger(access.expired_key),
    "key_revoked": Trigger(access.revoked_key),
    "key_reads_only": Trigger(access.reading_key),
    "key_elsewhere": Trigger(access.far_key),
    "partner_suspended": Trigger(access.suspend, access.resume),
    "signature_required": Trigger(access.ask_for_signatures, access.do_without_signatures),
    "webhook_lost": Trigger(receiver.lose),
    "webhook_refused": Trigger(receiver.decline),
    "webhook_redirected": Trigger(receiver.redirect),
    "webhook_gone": Trigger(receiver.be_gone),
}
