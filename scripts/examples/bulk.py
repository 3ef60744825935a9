"""Send a file of transfers (CSV, JSON lines or pain.001), and say what came of its rows.

    python -m scripts.examples.bulk wages.csv --customer cus_... --sell EUR --buy USDC

Running it again with the same file sends nothing twice. Exit status 1: rows were rejected.
"""

import sys
from pathlib import Path

from scripts.examples.connecting import connect, parser_of


def main() -> int:
    """Send one file."""
    parser = parser_of(__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--customer", help="of rows that name none")
    parser.add_argument("--sell", help="currency, of rows that name none")
    parser.add_argument("--buy", help="currency, of rows that name none")
    given = parser.parse_args()
    with connect(given) as client:
        sent = client.send_bulk(
            given.file,
            customer_id=given.customer,
            sell_currency=given.sell,
            buy_currency=given.buy,
        )
        ended = client.wait_for_bulk(
            sent["id"],
            timeout_s=600,
            on_progress=lambda each: print(f"{each['rows']['pending']} rows to go"),
        )
        print(f"{ended['id']}: {ended['rows']['accepted']} of {ended['rows']['total']} accepted")
        for row in client.list_bulk_rows(ended["id"], status="rejected"):
            print(f"line {row['line']}: {'; '.join(each['message'] for each in row['errors'])}")
    return 1 if ended["rows"]["rejected"] else 0


if __name__ == "__main__":
    sys.exit(main())
