"""Which media type a caller wants to have (header Accept, RFC 9110 12.5.1)."""

import re
from typing import Final

from node.api.problems import JSON

_WEIGHT: Final = re.compile(r"q=(?:0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?)", re.IGNORECASE)
_MOST: Final = 1000


def prefers(accept: str, media_type: str) -> bool:
    """Whether a caller would rather have `media_type`, which it must name, than JSON.

    Where both are the same to the caller it is JSON: `*/*` is what programs send that did not think
    about it.

    Args:
        accept: The header as sent; empty: there is none.
        media_type: Such as `text/csv`, in lower case, without parameters.
    """
    weights = dict(_weight(each) for each in accept.split(",") if each.strip())
    return weights.get(media_type, 0) > _of(JSON, weights)


def _of(media_type: str, weights: dict[str, int]) -> int:
    """The weight of a media type by the most specific range that has it, in thousandths."""
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in weights:
            return weights[name]
    return 0


def _weight(text: str) -> tuple[str, int]:
    """One range and its weight in thousandths; parameters besides the weight do not count."""
    name, *parameters = (each.strip() for each in text.split(";"))
    for each in parameters:
        if (found := _WEIGHT.fullmatch(each)) is not None:
            is_one = each[2] == "1"
            return name.lower(), _MOST if is_one else int((found[1] or "").ljust(3, "0"))
    return name.lower(), _MOST
