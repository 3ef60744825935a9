"""Bulk transfers: files of orders, and what came of their rows."""

import asyncio
from collections.abc import Sequence
from typing import Final

from node.api import bulk_examples as examples
from node.api.bodies import Upload
from node.api.bulk_files import BYTES_MAX, MEDIA_TYPES, BulkReader
from node.api.bulk_schemas import BulkListQuery, BulkQuery, BulkReportQuery, BulkRowQuery
from node.api.bulk_views import (
    BulkProgressView,
    BulkReportView,
    BulkRowsView,
    BulkView,
    bulk_view,
    progress_view,
    report_csv,
    row_view,
)
from node.api.iso20022 import XML
from node.api.operations import CSV, Call, Example, File, KeyRule, Operations, list_query
from node.api.pain002 import report_pain002
from node.api.views import PageView
from node.core.bulk import (
    BulkFileInvalid,
    BulkRow,
    PayoutsNotTogether,
    Progress,
    TooManyBulkTransfers,
)
from node.core.catalog import Catalog
from node.core.errors import FormatUnfit, NotFound
from node.core.ids import Prefix, encode_id
from node.core.ports.idempotency import Answer
from node.services.bulk.bulk_transfers import BulkOrder

operations: Final = Operations("Bulk transfers")

_PATH: Final = "/v1/bulk-transfers"
_AT: Final = {"bulk_id": examples.BULK_ID}


@operations.upload(
    _PATH,
    uploads=MEDIA_TYPES,
    bytes_max=BYTES_MAX,
    query=BulkQuery,
    key=KeyRule.REQUIRED,
    status=202,
    answer=BulkProgressView,
    example=Example(
        examples.TAKEN_IN,
        query={"mode": "best_effort", "buy_currency": "USDC"},
        files=examples.FILES,
    ),
    refusals=(BulkFileInvalid, PayoutsNotTogether, TooManyBulkTransfers),
)
async def create_bulk_transfer(call: Call[Upload, BulkQuery]) -> Answer:
    """Send a file of transfers.

    The body is the file, up to 10,000 rows and 16 MiB: one JSON object on each line
    (`application/x-ndjson`), CSV in UTF-8 with a header (`text/csv`), or ISO 20022 pain.001.001.09
    to 001.12 (`application/xml`). It is stored and answered at once; rows are then priced and
    accepted by batches, each at the firm price of its moment.

    A row is `{"client_reference", "customer_id", "sell": {"currency", "amount"}, "buy":
    {"currency", "amount"}, "beneficiary": {"name", "country", "address"}, "purpose"}` with the
    amount on one side. CSV has the columns `client_reference`, `customer_id`, `sell_currency`,
    `sell_amount`, `buy_currency`, `buy_amount`, `name`, `country`, `address`, `account_number`,
    `bank_code`, `purpose`, `refund_policy`. Of pain.001, `EndToEndId` is the client reference,
    `DbtrAcct/Id/Othr/Id` the customer's id, `InstdAmt` what is sold, and `CdtrAcct/Prxy/Id` the
    beneficiary's address; name the token in `buy_currency`.

    A row whose beneficiary has an account at a bank is paid out by a partner, as a quote with
    payout method `partner` is: instead of `address` it has `"account": {"type": "bank", "number",
    "bank_code"}`, and buys the currency of the account. One file may have both:

        client_reference,customer_id,sell_currency,sell_amount,buy_currency,name,country,address,account_number,bank_code
        wage-1,cus_01kanv8q6dfk5vbz2m3n8r1c4x,EUR,200.00,USDC,Ben,PH,0x90F79bf6EB2c4f870365E785982E1f101E93b906,,
        wage-2,cus_01kanv8q6dfk5vbz2m3n8r1c4x,EUR,250.00,PHP,Bea,PH,,000123456789,BOPIPHMM

    Of pain.001 that is `CdtrAcct/Id` (`IBAN` or `Othr/Id`) where there is no `Prxy`, with
    `CdtrAcct/Ccy` and the bank of `CdtrAgt`. While the partner is away its rows are tried again and
    the others go on; such rows cannot be `all_or_nothing`. What is to follow where its rail refuses
    for good is the row's `refund_policy`, or that of the query.

    A row's `client_reference` makes it safe to repeat: in whatever file it comes again, it is the
    transfer that is there, and with other contents it is refused. Faulty rows are rejected, each
    with its reason, and the others go on; with `mode=all_or_nothing` they do not, and all rows are
    accepted in one step or none is. What cannot be accepted now (no rate, no liquidity) is tried
    again for `accept_within_s`.
    """
    services, query = call.services, call.query
    reader = BulkReader(services.catalog, services.addresses, call.principal, query)
    file = await asyncio.to_thread(reader.read, call.body)  # others are answered meanwhile

    def render(taken: Progress) -> Answer:
        location = f"{_PATH}/{encode_id(Prefix.BULK, taken.bulk.id)}"
        return call.answer(progress_view(taken, services.catalog), location)

    return await services.bulk.create(
        BulkOrder(call.principal, file, query.mode, query.accept_within_s),
        call.required_claim,
        render,
        call.refusal,
    )


@operations.get(
    _PATH,
    query=BulkListQuery,
    answer=PageView[BulkView],
    example=Example({"data": [examples.LISTED], "next_cursor": None}),
)
async def list_bulk_transfers(call: Call[None, BulkListQuery]) -> Answer:
    """List bulk transfers, newest first: one's own, and all to operators."""
    page = await call.services.bulk.list(call.principal, list_query(call))
    views = [bulk_view(each) for each in page.items]
    return call.answer({"data": views, "next_cursor": page.next_cursor})


@operations.get(
    f"{_PATH}/{{bulk_id}}",
    answer=BulkProgressView,
    example=Example(examples.BULK, path=_AT),
    refusals=(NotFound,),
)
async def show_bulk_transfer(call: Call[None, None]) -> Answer:
    """Show a bulk transfer: how far it is, and where its transfers are."""
    found = await call.services.bulk.get(call.principal, call.parameters["bulk_id"])
    return call.answer(progress_view(found, call.services.catalog))


@operations.get(
    f"{_PATH}/{{bulk_id}}/rows",
    query=BulkRowQuery,
    answer=BulkRowsView,
    example=Example({"data": [examples.ROW, examples.FAULTY_ROW], "next_after": 3}, path=_AT),
    refusals=(NotFound,),
)
async def list_bulk_rows(call: Call[None, BulkRowQuery]) -> Answer:
    """List rows in the order of the file.

    Keep `next_after` and ask again with it, until there is nothing more.
    """
    query = call.query
    rows = await call.services.bulk.rows(
        call.principal,
        call.parameters["bulk_id"],
        status=query.status,
        after_line=query.after,
        limit=query.limit,
    )
    views = [row_view(each, call.services.catalog) for each in rows]
    return call.answer({"data": views, "next_after": rows[-1].line if rows else query.after})


@operations.get(
    f"{_PATH}/{{bulk_id}}/report",
    query=BulkReportQuery,
    answer=BulkReportView,
    example=Example(
        {"bulk_transfer": examples.BULK, "rows": [examples.ROW, examples.FAULTY_ROW]}, path=_AT
    ),
    refusals=(NotFound, FormatUnfit),
    files=("text/csv", XML),
)
async def show_bulk_report(call: Call[None, BulkReportQuery]) -> Answer | File:
    """Show all of a bulk transfer: every row with what came of it.

    As JSON, as CSV (RFC 4180), or, where the file was pain.001, as ISO 20022 pain.002.001.12; the
    parameter `format` alone decides, not `Accept`.
    """
    services = call.services
    bulk_id = call.parameters["bulk_id"]
    progress, rows = await services.bulk.report(call.principal, bulk_id)
    if call.query.format == "csv":
        body = await asyncio.to_thread(report_csv, rows, services.catalog)
        return File(CSV, f"{bulk_id}.csv", body)
    if call.query.format == "pain.002":
        body = await asyncio.to_thread(report_pain002, progress.bulk, rows, progress.as_of)
        return File(XML, f"{bulk_id}.pain002.xml", body)
    return call.answer(await asyncio.to_thread(_report, progress, rows, services.catalog))


def _report(progress: Progress, rows: Sequence[BulkRow], catalog: Catalog) -> BulkReportView:
    return {
        "bulk_transfer": progress_view(progress, catalog),
        "rows": [row_view(each, catalog) for each in rows],
    }
