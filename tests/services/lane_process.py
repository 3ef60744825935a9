"""One lane's settlement job as a program of its own, for tests that stop a whole process.

`python -m tests.services.lane_process DATABASE_URL RPC_URL CONTRACT TOKEN OWNER`; it says `pass N`
after each pass, with what the pass did, and `awake` when it goes on after it was stopped.
"""

import asyncio
import signal
import sys

from adapters.evm.client import EvmChain
from adapters.evm.contract import EvmSettlementContract
from adapters.evm.rpc import Providers
from adapters.evm.signed import Eip1559Reader
from adapters.evm.signer import KeystoreSigner
from adapters.failpoint import failpoint
from adapters.machine import new_id
from node.core.errors import DatabaseUnavailable
from node.core.settlement import BatchRules
from node.core.submission import FeeRules
from node.services.settlement.parts import SettlementParts
from node.services.settlement.settling import SettlementService
from node.store.database import Database
from node.store.lane_lock import AdvisoryLaneLock
from node.store.unit_of_work import StoreUnits
from tests.builders import CHAIN_ID
from tests.onchain import LANE_KEY, address_of

LEASE_S = 5
_PAUSE_S = 0.02


async def main(database_url: str, rpc_url: str, contract: str, token: str, owner: str) -> None:
    """Pass after pass until the process is ended."""
    chain = EvmChain(Providers.at([rpc_url]))
    parts = SettlementParts(
        units=StoreUnits(Database.at(database_url)),
        chain=chain,
        contract=EvmSettlementContract(chain, address_of(contract), address_of(token)),
        signer=KeystoreSigner.of_key(LANE_KEY),
        reader=Eip1559Reader(),
        lock=AdvisoryLaneLock(database_url),
        new_id=new_id,
        failpoint=failpoint(None),
        chain_id=CHAIN_ID,
        owner=owner,
        block_s=1,
        batches=BatchRules(payments_max=1, wait_ms=0),
        fees=FeeRules(resend_after_s=0),
        lease_s=LEASE_S,
    )
    service = SettlementService(parts)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, say, "awake")
    while True:
        try:
            done = await service.run_once()
        except DatabaseUnavailable:  # as after a sleep in which the server cut the connection
            done = 0
        say(f"pass {done}")
        await asyncio.sleep(_PAUSE_S)


def say(words: str) -> None:
    """One line."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
