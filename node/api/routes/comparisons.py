"""What ledger, mirror and chain say that the node's addresses hold. Runs: `reconciliation`."""

from typing import Final

from node.api.bodies import PageQuery
from node.api.comparison_views import EXAMPLE, ComparisonDocument, comparison_document
from node.api.operations import OPERATORS, Call, Example, Operations, list_query
from node.api.views import PageView
from node.core.ports.idempotency import Answer

operations: Final = Operations("Reconciliation")


@operations.get(
    "/v1/reconciliation/accounts",
    who=OPERATORS,
    query=PageQuery,
    answer=PageView[ComparisonDocument],
    example=Example({"data": [EXAMPLE], "next_cursor": None}),
)
async def list_comparisons(call: Call[None, PageQuery]) -> Answer:
    """List the accounts of the chain as they were compared last.

    Every address of the node with each asset it may hold, at the final block of the newest
    comparison of it; in the order they were first compared, so that deposit addresses come last.
    """
    page = await call.services.comparisons.page(list_query(call))
    catalog, addresses = call.services.catalog, call.services.addresses
    views = [comparison_document(each, catalog, addresses) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})
