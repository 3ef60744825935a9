"""kill -9 at any moment loses nothing and doubles nothing."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from tests.e2e.conftest import Network, fresh_address, quote_body, until

_PAYMENTS = 100
_WORKER_KILLS = 20
_SERVE_KILLS = 5


def _send_stubbornly(network: Network, customer_id: str, number: int) -> Any:
    """Quote and send with fixed keys until there is an answer, as a careful partner does."""
    quote = network.answered("/v1/quotes", quote_body("10.00"), f"crash-quote-{number}").json()
    order = network.order(quote, customer_id, fresh_address(1000 + number))
    return network.answered("/v1/transfers", order, f"crash-transfer-{number}").json()


def _done(network: Network, transfers: list[Any]) -> int:
    return sum(network.state_of(each) == "settled" for each in transfers)


def test_killing_both_processes_again_and_again_pays_everybody_once(network: Network) -> None:
    customer_id = network.customer(eur="5000.00")
    numbers = iter(range(_PAYMENTS))
    with ThreadPoolExecutor(_PAYMENTS // _WORKER_KILLS) as pool:
        pending: list[Future[Any]] = []
        for kill in range(_WORKER_KILLS):  # every kill finds new payments under way
            pending += [
                pool.submit(_send_stubbornly, network, customer_id, number)
                for number in islice(numbers, _PAYMENTS // _WORKER_KILLS)
            ]
            wait(pending, return_when=FIRST_COMPLETED)
            network.restarted("work", network.kill("work"))
            if kill % (_WORKER_KILLS // _SERVE_KILLS) == 0:
                network.restarted("serve", network.kill("serve"))
        transfers = [each.result() for each in pending]
    until(network.is_ready, "the node is ready again")
    until(lambda: _done(network, transfers) == _PAYMENTS, "all settled", limit_s=180)
    assert len({each["id"] for each in transfers}) == _PAYMENTS
    for number, transfer in enumerate(transfers):
        units = int(transfer["buy"]["amount"].replace(".", ""))
        assert network.usdc_of(fresh_address(1000 + number)) == units
    assert network.balances(customer_id)["EUR"]["available"] == "4000.00"
    network.prove()
