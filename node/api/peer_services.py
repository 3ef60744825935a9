"""What the routes of paying partners call. See `node.api.services` for why these are Protocols."""

from collections.abc import Callable, Mapping
from typing import Protocol

from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Transfer
from node.services.idempotency import RenderError
from node.services.payouts.changing import ChangeAsk


class PeerDesk(Protocol):
    """See `node.services.payouts.following.PayoutFollowing`."""

    async def hear(self, partner: str, headers: Mapping[str, str], body: bytes, /) -> None:
        """Take a webhook of a partner that pays out."""
        ...

    async def ask_again(
        self,
        transfer_id: str,
        claim: Claim | None,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Ask the partner about a transfer, and believe it again."""
        ...


class PayoutChangeDesk(Protocol):
    """See `node.services.payouts.changing.PayoutChanging`."""

    async def ask(
        self,
        ask: ChangeAsk,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        """Ask the partner for other data, or for the money back."""
        ...
