"""What the accounts of the chain look like in answers. See `views`."""

from typing import Final

from typing_extensions import TypedDict

from node.api.operator_views import BlockDocument
from node.api.views import hex_text, time_text
from node.core.catalog import Catalog
from node.core.ports.chain import AddressCodec
from node.core.ports.comparisons import AccountComparison
from node.core.units import format_minor


class ComparisonDocument(TypedDict):
    """One account of the chain as ledger, mirror and chain had it at a final block.

    `difference` is what the chain has more than the ledger; `equal`: all three agree. `role` says
    what the node uses the address for. `path` is that of the ledger's account.
    """

    path: str
    address: str
    role: str
    currency: str
    ledger: str
    mirror: str
    chain: str
    difference: str
    equal: bool
    as_of: BlockDocument
    compared_at: str | None


EXAMPLE: Final = {
    "path": "chain/31337/0xe7f1725e7734ce288f8367e1bb143e90bb3f0512/USDC",
    "address": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
    "role": "contract",
    "currency": "USDC",
    "ledger": "999769.925952",
    "mirror": "999769.925952",
    "chain": "999769.925952",
    "difference": "0.000000",
    "equal": True,
    "as_of": {
        "block_number": 12,
        "block_hash": "0x" + "1b" * 32,
    },
    "compared_at": "2026-11-22T16:00:00Z",
}


def comparison_document(
    found: AccountComparison, catalog: Catalog, addresses: AddressCodec
) -> ComparisonDocument:
    """An account of the chain."""
    digits = catalog.ledger_asset(found.asset).digits
    return {
        "path": found.path,
        "address": addresses.text(found.address),
        "role": found.role,
        "currency": found.asset,
        "ledger": format_minor(found.ledger, digits),
        "mirror": format_minor(found.mirror, digits),
        "chain": format_minor(found.chain, digits),
        "difference": format_minor(found.chain - found.ledger, digits),
        "equal": found.ledger == found.mirror == found.chain,
        "as_of": {"block_number": found.block.number, "block_hash": hex_text(found.block.hash)},
        "compared_at": None if found.compared_at is None else time_text(found.compared_at),
    }
