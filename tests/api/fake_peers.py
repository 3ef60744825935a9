"""Fakes of what follows and asks partners that pay out: `manila` sends webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from node.core.errors import NodeError, NotFound
from node.core.ids import Prefix, decode_id
from node.core.ports.idempotency import Answer, Claim
from node.core.ports.transfers import Transfer
from node.core.webhooks import Message, secret_text, sign, verify
from node.services.idempotency import RenderError
from node.services.payouts.changing import ChangeAsk
from tests.api.fake_world import NOW, Memory

_SECRET = b"\x5e" * 32
PEER_SECRET = secret_text(_SECRET)


def signed_by_peer(body: bytes) -> dict[str, str]:
    """The headers of a webhook of `manila`."""
    message = Message("del_1", int(NOW.timestamp()), body)
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp_s),
        "webhook-signature": sign(_SECRET, message),
    }


@dataclass
class FakePeers:
    """Verifies as the node does; `heard` has the bodies that were taken."""

    memory: Memory
    transfers: Callable[[], Mapping[UUID, Transfer]]
    heard: list[bytes] = field(default_factory=list)

    async def hear(self, partner: str, headers: Mapping[str, str], body: bytes, /) -> None:
        if partner != "manila":
            raise NotFound("there is no such partner that sends webhooks")
        verify([PEER_SECRET], headers, body, NOW)
        self.heard.append(body)

    async def ask_again(
        self,
        transfer_id: str,
        claim: Claim | None,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            found = self.transfers().get(decode_id(Prefix.TRANSFER, transfer_id))
            if found is None:
                raise NotFound("there is no such transfer that a partner pays out")
            return render(found)

        return await self.memory.once(claim, work, render_error)


@dataclass
class FakePayoutChanges:
    """The partner does what it is asked; `asked` has what that was.

    Attributes:
        refuses: Raised instead.
    """

    memory: Memory
    transfers: Callable[[], Mapping[UUID, Transfer]]
    asked: list[ChangeAsk] = field(default_factory=list)
    refuses: NodeError | None = None

    async def ask(
        self,
        ask: ChangeAsk,
        claim: Claim,
        render: Callable[[Transfer], Answer],
        render_error: RenderError,
        /,
    ) -> Answer:
        async def work() -> Answer:
            found = self.transfers().get(decode_id(Prefix.TRANSFER, ask.transfer_id))
            if found is None:
                raise NotFound("there is no such transfer")
            if self.refuses is not None:
                raise self.refuses
            self.asked.append(ask)
            return render(found)

        return await self.memory.once(claim, work, render_error)
