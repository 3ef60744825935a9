"""How each outcome is played: forced as the table says, and looked at where the table says.

Each takes the partner and the place of the answer that tells, and returns what stood there.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from node.devnet.magic import ABOVE_MOST, BELOW_LEAST, BEYOND_EVERYBODY, DENIED_ADDRESS
from node.devnet.sandbox import TRIGGERS, Site, Wish
from tests.e2e.conftest import fresh_address, until
from tests.e2e.two_nodes import PAID, quote_body
from tests.sandbox.playing import Play, Scenario, Seen, seen

# -------------------------------------------------------------------------- prices and money


def _quote_expired(play: Play, where: str) -> Seen:
    order = play.order(quote=play.quote(ttl_s=60).json())
    play.forward("2m")
    return seen(play.ask("POST", "/v1/transfers", order), where)


def _rates_contradict(play: Play, where: str) -> Seen:
    with play.lasting("rates_contradict"):
        found = _until_quote(play, 503)
    _until_quote(play, 201)
    return seen(found, where)


def _rate_source_away(play: Play, where: str) -> Seen:
    with play.lasting("rate_source_away"):
        until(lambda: "chainlink" in _faulty(play), "the source is told as faulty")
        found = play.quote()
    until(lambda: "chainlink" not in _faulty(play), "and is good again")
    return seen(found, where)


def _faulty(play: Play) -> str:
    """Names of the sources that have a fault, as an operator sees them."""
    sources = play.network.get("/v1/fx")["sources"]
    return " ".join(each["name"] for each in sources if each["fault"])


def _quoting_halted(play: Play, where: str) -> Seen:
    with play.lasting("quoting_halted"):
        return seen(play.quote(), where)


def _quote_revoked(play: Play, where: str) -> Seen:
    order = play.order()
    with play.lasting("quoting_halted"):
        return seen(play.ask("POST", "/v1/transfers", order), where)


def _quoting(amount: str) -> Scenario:
    return lambda play, where: seen(play.quote(amount), where)


def _sale_limited(play: Play, where: str) -> Seen:
    with play.lasting("sale_limited"):
        return seen(play.quote(), where)


def _money_missing(play: Play, where: str) -> Seen:
    return seen(play.ask("POST", "/v1/transfers", play.order(BEYOND_EVERYBODY)), where)


def _customer_without_money(play: Play, where: str) -> Seen:
    customer_id = play.trigger("customer_without_money")["customer_id"]
    return seen(play.ask("POST", "/v1/transfers", play.order(customer_id=customer_id)), where)


def _until_quote(play: Play, status: int) -> httpx.Response:
    def look() -> httpx.Response | None:
        found = play.quote()
        return found if found.status_code == status else None

    found: httpx.Response = until(look, f"a quote is answered with {status}")
    return found


# -------------------------------------------------------------------------------- on the chain


def _reorg(play: Play, where: str) -> Seen:
    order = play.order()
    with play.network.still():
        transfer = play.made("/v1/transfers", order)
        path = f"/v1/transfers/{transfer['id']}"
        play.network.until_in_pool()
        play.network.rpc("evm_mine")
        play.until(path, "state", "included")
        play.trigger("reorg", "--depth", "1")
    play.settled(transfer)
    assert play.network.usdc_of(transfer["beneficiary"]["address"]) == _minor(transfer)
    return seen(play.get(f"{path}/events"), where)


def _transactions_dropped(play: Play, where: str) -> Seen:
    order = play.order()
    with play.network.still():
        transfer = play.made("/v1/transfers", order)
        play.until(f"/v1/transfers/{transfer['id']}", "state", "submitted")
        play.network.until_in_pool()
        assert play.trigger("transactions_dropped")["dropped"]
    found = play.settled(transfer)
    assert play.network.usdc_of(transfer["beneficiary"]["address"]) == _minor(transfer)
    return seen(found, where)


def _beneficiary_denied(play: Play, where: str) -> Seen:
    return _denied(play, where, DENIED_ADDRESS)


def _address_denied(play: Play, where: str) -> Seen:
    address = fresh_address(60_001)
    with play.lasting("address_denied", "--address", address):
        found = _denied(play, where, address)
    assert play.settled(play.send(address=address)).status_code == 200
    return found


def _denied(play: Play, where: str, address: str) -> Seen:
    before = play.network.balances(play.customer_id)["EUR"]
    transfer = play.send(address=address)
    found = play.until(f"/v1/transfers/{transfer['id']}", "status", "failed")
    assert play.network.balances(play.customer_id)["EUR"] == before
    return seen(found, where)


def _address_unusable(play: Play, where: str) -> Seen:
    token = play.network.described["contracts"]["USDC"]
    return seen(play.ask("POST", "/v1/transfers", play.order(address=token)), where)


def _waiting(name: str, told: str) -> Scenario:
    """It waits while this lasts, and is paid afterwards."""

    def scenario(play: Play, where: str) -> Seen:
        with play.lasting(name):
            transfer = play.send()
            found = play.until(f"/v1/transfers/{transfer['id']}", where, told)
        play.settled(transfer)
        return seen(found, where)

    return scenario


def _chain_away(play: Play, where: str) -> Seen:
    with play.lasting("chain_away"):
        transfer = play.send()
        found: httpx.Response = until(lambda: _not_ready(play), "it says so")
    play.settled(transfer)
    until(play.network.is_ready, "ready again")
    return seen(found, where)


def _not_ready(play: Play) -> httpx.Response | None:
    found = play.get("/readyz")
    return found if found.status_code == 503 else None


def _transfer_expired(play: Play, where: str) -> Seen:
    with play.lasting("token_paused"):
        before = play.network.balances(play.customer_id)["EUR"]
        transfer = play.send()
        path = f"/v1/transfers/{transfer['id']}"
        play.until(path, "waiting.code", "token_paused")
        play.forward("25h")
        found = play.until(path, "status", "expired")
        assert play.network.balances(play.customer_id)["EUR"] == before
    return seen(found, where)


def _minor(transfer: Any) -> int:
    return int(transfer["buy"]["amount"].replace(".", ""))


# ---------------------------------------------------------------------------------- deposits


def _deposit(name: str, told: str) -> Scenario:
    """A payment request paid so, until the request tells it."""

    def scenario(play: Play, where: str) -> Seen:
        request_id = play.trigger(name)["payment_request_id"]
        play.final()
        return seen(play.until(f"/v1/payment-requests/{request_id}", where, told), where)

    return scenario


def _deposit_wrong_token(play: Play, where: str) -> Seen:
    done = play.trigger("deposit_wrong_token")
    play.final()
    path = f"/v1/payment-requests/{done['payment_request_id']}"

    def look() -> httpx.Response | None:
        response = play.get(path)
        return response if response.json()["other_tokens"] else None

    found: httpx.Response = until(look, "the other token is seen")
    [other] = found.json()["other_tokens"]
    assert other["token"].lower() == done["token"].lower()
    return seen(found, where)


# ----------------------------------------------------------------------------------- payouts


def _bank(account: str, told: str, *, clock: str = "") -> Scenario:
    """A payout to such an account, paid by the partner, until the payout tells what came of it."""

    def scenario(play: Play, where: str) -> Seen:
        path = play.paid_payout(account)
        if clock:
            play.until(path, "status", "completed")
            play.forward(clock)
        return seen(play.until(path, where, told), where)

    return scenario


def _account_unknown(play: Play, where: str) -> Seen:
    return seen(play.payout("00010001"), where)


def _unpaid(name: str, held: Callable[[Play, str], bool]) -> Scenario:
    """What came does not pay the payout: it is seen, and the payout still waits."""

    def scenario(play: Play, where: str) -> Seen:
        payout = play.payout().json()
        play.trigger(name, "--payout", payout["id"])
        play.final()
        until(lambda: held(play, payout["id"]), "what came is seen")
        return seen(play.get(f"/v1/payouts/{payout['id']}"), where)

    return scenario


def _deposit_held(play: Play, payout_id: str) -> bool:
    address = play.get(f"/v1/payouts/{payout_id}").json()["deposit"]["address"]
    deposits = play.network.get("/v1/deposits?status=held")["data"]
    return any(each["to_address"] == address for each in deposits)


def _payout_lapsed(play: Play, where: str) -> Seen:
    payout = play.payout().json()
    play.forward("25h")
    return seen(play.until(f"/v1/payouts/{payout['id']}", where, "expired"), where)


def _partner_away(play: Play, where: str) -> Seen:
    body = quote_body("20.00") | {"ttl_s": 600}
    quote = play.made("/v1/quotes", body)
    to = {"type": "bank", "number": PAID, "bank_code": "BOPIPHMM"}
    order = play.order(quote=quote)
    order["beneficiary"] = {"name": "Bea", "country": "PH", "account": to}
    with play.lasting("partner_away"):
        found = play.ask("POST", "/v1/transfers", order, key="partner-away")
    again = play.network.answered("/v1/transfers", order, "partner-away", token=play.token)
    play.until(f"/v1/transfers/{again.json()['id']}", "status", "completed")
    return seen(found, where)


# -------------------------------------------------------------------------------- keys, terms


def _with_key(name: str, status: int) -> Scenario:
    """What the key that the trigger prints is answered."""

    def scenario(play: Play, where: str) -> Seen:
        key = play.trigger(name)["key"]

        def look() -> httpx.Response | None:  # a process learns of a moved clock in a moment
            found = play.quote(token=key)
            return found if found.status_code == status else None

        found: httpx.Response = until(look, f"the key is answered {status}")
        return seen(found, where)

    return scenario


def _under_terms(name: str, status: int) -> Scenario:
    """What the partner is answered under such terms, which a process may know for a second."""

    def scenario(play: Play, where: str) -> Seen:
        with play.lasting(name):
            found = _until_quote(play, status)
        _until_quote(play, 201)
        return seen(found, where)

    return scenario


# ---------------------------------------------------------------------------------- webhooks


def _webhook(name: str) -> Scenario:
    """The delivery as it ended. The clock moves meanwhile, so that the next attempt is due."""

    def scenario(play: Play, where: str) -> Seen:
        site = Site.open(play.network.state_dir)
        with ThreadPoolExecutor(1) as aside:
            trying = aside.submit(TRIGGERS[name].begin, site, Wish())
            until(lambda: _has_failed(play), "the first attempt failed")
            play.forward("10s")
            told = trying.result(120)
        ids = told["webhook_ids"]
        assert len(ids) == 2
        assert set(ids) == {told["delivery_id"]}
        path = f"/v1/webhook-deliveries/{told['delivery_id']}"
        return seen(play.network.request("GET", path), where)

    return scenario


def _has_failed(play: Play) -> bool:
    """Whether an endpoint that gets messages has one that waits for its next attempt."""
    active = play.network.get("/v1/webhook-endpoints?status=active")["data"]
    paths = [f"/v1/webhook-endpoints/{each['id']}/deliveries?status=pending" for each in active]
    return any(each["attempts"] for path in paths for each in play.network.get(path)["data"])


def _webhook_gone(play: Play, where: str) -> Seen:
    told = play.trigger("webhook_gone")
    assert len(told["webhook_ids"]) == 1
    path = f"/v1/webhook-endpoints/{told['endpoint_id']}"
    return seen(play.network.request("GET", path), where)


# ---------------------------------------------------------------------------------- the node


def _worker_killed(play: Play, where: str) -> Seen:
    transfer = play.send()
    pid = play.trigger("worker_killed")["killed_pid"]
    play.network.restarted("work", pid)
    found = seen(play.settled(transfer), where)
    assert play.network.usdc_of(transfer["beneficiary"]["address"]) == _minor(transfer)
    return found


def _killed(name: str) -> Scenario:
    """The same request with the same key until it is answered: one transfer."""

    def scenario(play: Play, where: str) -> Seen:
        order, key = play.order(), name
        play.trigger(name)

        found = play.network.answered("/v1/transfers", order, key, token=play.token)
        again = play.ask("POST", "/v1/transfers", order, key=key)
        assert again.json()["id"] == found.json()["id"]
        play.settled(found.json())
        return seen(found, where)

    return scenario


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "quote_expired": _quote_expired,
    "rates_contradict": _rates_contradict,
    "rate_source_away": _rate_source_away,
    "quoting_halted": _quoting_halted,
    "quote_revoked": _quote_revoked,
    "amount_too_small": _quoting(BELOW_LEAST),
    "amount_too_large": _quoting(ABOVE_MOST),
    "sale_limited": _under_terms("sale_limited", 422),
    "money_missing": _money_missing,
    "customer_without_money": _customer_without_money,
    "reorg": _reorg,
    "transactions_dropped": _transactions_dropped,
    "beneficiary_denied": _beneficiary_denied,
    "address_denied": _address_denied,
    "address_unusable": _address_unusable,
    "token_paused": _waiting("token_paused", "token_paused"),
    "lanes_without_gas": _waiting("lanes_without_gas", "gas_low"),
    "gas_spike": _waiting("gas_spike", "submitted"),
    "settlement_paused": _waiting("settlement_paused", "paused"),
    "chain_away": _chain_away,
    "transfer_expired": _transfer_expired,
    "deposit_short": _deposit("deposit_short", "9.000000"),
    "deposit_over": _deposit("deposit_over", "overpaid"),
    "deposit_late": _deposit("deposit_late", "paid_late"),
    "deposit_too_late": _deposit("deposit_too_late", "too_late"),
    "deposit_twice": _deposit("deposit_twice", "duplicate"),
    "deposit_wrong_token": _deposit_wrong_token,
    "payout_paid": _bank("000123456789", "completed"),
    "payout_short": _unpaid("payout_short", _deposit_held),
    "payout_by_stranger": _unpaid("payout_by_stranger", _deposit_held),
    "payout_lapsed": _payout_lapsed,
    "account_unknown": _account_unknown,
    "account_closed": _bank("00010002", "account_closed"),
    "account_of_another": _bank("00010003", "name_mismatch"),
    "bank_late": _bank("00010004", "completed"),
    "bank_answer_lost": _bank("00010005", "completed"),
    "bank_away": _bank("00010006", "completed"),
    "bank_returns": _bank("00010007", "returned", clock="2m"),
    "partner_away": _partner_away,
    "key_expired": _with_key("key_expired", 401),
    "key_revoked": _with_key("key_revoked", 401),
    "key_reads_only": _with_key("key_reads_only", 403),
    "key_elsewhere": _with_key("key_elsewhere", 403),
    "partner_suspended": _under_terms("partner_suspended", 403),
    "signature_required": _under_terms("signature_required", 401),
    "webhook_lost": _webhook("webhook_lost"),
    "webhook_refused": _webhook("webhook_refused"),
    "webhook_redirected": _webhook("webhook_redirected"),
    "webhook_gone": _webhook_gone,
    "worker_killed": _worker_killed,
    "database_killed": _killed("database_killed"),
}
