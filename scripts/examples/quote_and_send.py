"""Ask for a firm price, send on it, and follow the transfer to its end.

    python -m scripts.examples.quote_and_send --customer cus_... --to 0x... 200.00

Exit status 1: it ended otherwise than paid, or not in time.
"""

import sys

from node.client import WaitedTooLong
from node.client.problems import InsufficientFunds
from scripts.examples.connecting import connect, parser_of


def main() -> int:
    """Send once."""
    parser = parser_of(__doc__)
    parser.add_argument("amount", help="EUR to sell, such as 200.00")
    parser.add_argument("--customer", required=True, help="whose money it is")
    parser.add_argument("--to", required=True, help="address that gets the USDC")
    parser.add_argument("--wait", type=int, default=60, help="seconds")
    given = parser.parse_args()
    with connect(given) as client:
        quote = client.create_quote(
            {"sell": {"currency": "EUR", "amount": given.amount}, "buy": {"currency": "USDC"}}
        )
        print(f"{given.amount} EUR are {quote['buy']['amount']} USDC until {quote['expires_at']}")
        try:
            transfer = client.create_transfer(
                {
                    "quote_id": quote["id"],
                    "customer_id": given.customer,
                    "beneficiary": {"name": "Ben", "country": "PH", "address": given.to},
                }
            )
        except InsufficientFunds as problem:
            print(f"there is only {problem.members['available']}")
            return 1
        print(transfer["id"])
        try:
            ended = client.wait_for_transfer(
                transfer["id"], timeout_s=given.wait, on_event=lambda each: print(each["type"])
            )
        except WaitedTooLong as error:
            print(error)
            return 1
    print(ended["status"])
    return 0 if ended["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
