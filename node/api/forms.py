"""Forms of texts at the edge: each a pattern, and the words for a caller whose text has another."""

from collections.abc import Mapping
from typing import Final

NO_CONTROL: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
WORDS: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
EMAIL: Final = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
CURRENCY_CODE: Final = r"^[A-Z0-9]{2,16}$"
BANK_ACCOUNT: Final = r"^[0-9A-Za-z -]{4,34}$"
AMOUNT: Final = r"^[0-9]+(\.[0-9]+)?$"
ADDRESS: Final = r"^0x[0-9a-fA-F]{40}$"
HASH: Final = r"^0x[0-9a-fA-F]{64}$"
EVENT_TYPE: Final = r"^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?$"
RATE: Final = r"^[0-9]{1,20}(\.[0-9]{1,40})?$"

MEANT: Final[Mapping[str, str]] = {
    NO_CONTROL: "write text without control characters",
    WORDS: "write text with at least one visible character and without control characters",
    EMAIL: "write an e-mail address such as name@example.org",
    CURRENCY_CODE: "write a currency code such as EUR",
    BANK_ACCOUNT: "write 4 to 34 letters, digits, spaces or hyphens",
    ADDRESS: "write an address: 0x and 40 hexadecimal digits",
    HASH: "write a hash: 0x and 64 hexadecimal digits",
    EVENT_TYPE: "write an object or a type of event, such as transfer or transfer.settled",
    RATE: "write a rate as a plain decimal such as 1.15626",
}
"""Pattern -> what to write. An amount is judged with its currency, in `node.api.money`."""
