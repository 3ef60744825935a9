"""Requests that are safe to repeat: the first answer is stored with its effect, in one transaction.

For requests made one at a time; the batched ones (quotes, transfers) keep the same rules inside
their own transaction with `replay`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from node.core.errors import Conflict, NodeError, Refused
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim, StoredAnswer

RenderError = Callable[[NodeError], Answer]

WAIT_MS: Final = 10_000  # how long a repeated request waits for the first one's answer


class IdempotencyKeyReused(Refused):
    """The key was used with another body."""

    code = "idempotency_key_reused"
    title = "The idempotency key is used"


class IdempotencyInProgress(Conflict):
    """The first request with this key is still running."""

    code = "idempotency_in_progress"
    title = "The first request is still running"
    retryable = True


REMEMBERED: Final = (Conflict, Refused)
"""Families that depend on state: their refusals are answers like any other."""

_NEVER_REMEMBERED: Final = (IdempotencyKeyReused, IdempotencyInProgress)


def is_remembered(error: NodeError) -> bool:
    """Whether a repeated request gets this refusal again."""
    return isinstance(error, REMEMBERED) and not isinstance(error, _NEVER_REMEMBERED)


def replay(
    claim: Claim | None, stored: Mapping[tuple[str, str, str, str], StoredAnswer]
) -> Answer | None:
    """The answer a repeated request gets; None when it is the first.

    Raises:
        IdempotencyKeyReused: The key came with another body.
    """
    found = stored.get(claim.scope) if claim else None
    if found is None or claim is None:
        return None
    if found.request_hash != claim.request_hash:
        raise IdempotencyKeyReused(
            "this Idempotency-Key was used with another body; use a new key for a new request"
        )
    return found.answer


async def once(
    units: UnitOfWork,
    claim: Claim | None,
    work: Callable[[Unit], Awaitable[Answer]],
    render_error: RenderError,
) -> Answer:
    """Do `work` at most once for a claim and keep its answer.

    Raises:
        IdempotencyInProgress: Another request holds the key for more than 10 s.
        NodeError: What `work` raised, when it is not to be remembered.
    """
    if claim is None:
        async with units() as unit:
            return await work(unit)
    try:
        async with units() as unit:
            if answer := await _claimed(unit, claim):
                return answer
            answer = await work(unit)
            await unit.idempotency.remember([(claim, answer)])
            return answer
    except NodeError as error:
        if not is_remembered(error):
            raise
        answer = render_error(error)
    async with units() as unit:
        if earlier := await _claimed(unit, claim):
            return earlier
        await unit.idempotency.remember([(claim, answer)])
    return answer


def in_progress() -> IdempotencyInProgress:
    """What a request is told that has waited `WAIT_MS` for the first one's answer."""
    return IdempotencyInProgress(
        "the first request with this Idempotency-Key is still running; ask again in a second",
        retry_after_s=1,
    )


async def _claimed(unit: Unit, claim: Claim) -> Answer | None:
    if not await unit.idempotency.lock(claim, timeout_ms=WAIT_MS):
        raise in_progress()
    return replay(claim, await unit.idempotency.find([claim]))
