"""Bodies and queries of the mirror. What answers look like is in `node.api.mirror_views`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from node.api.bodies import Body, PageQuery
from node.api.forms import HASH
from node.api.schemas import Note


class ReorgBody(Body):
    """The chain that an operator takes for the right one, by its own block."""

    block_hash: Annotated[
        str,
        StringConstraints(pattern=HASH),
        Field(description="The chain's block of the number that was final; 32 bytes in hex."),
    ]
    reason: Annotated[Note | None, Field(description="Why, for the second operator.")] = None


class ReorgQuery(PageQuery):
    """Which reorgs."""

    state: Literal["proposed", "replaced", "accepted"] | None = None
