"""Requests that are safe to repeat: the first answer is stored with its effect, in one transaction.

`once` is for requests made one at a time, `answer_batch` for those that share a transaction under
the ledger's lock; quotes keep the same rules inside their own with `replay`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from node.core.errors import Conflict, NodeError, Refused
from node.core.ports import Unit, UnitOfWork
from node.core.ports.idempotency import Answer, Claim, StoredAnswer
from node.core.ports.transfers import NewEvent
from node.services.batching import committed

RenderError = Callable[[NodeError], Answer]
Scope = tuple[str, str, str, str]

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


class Claimed(Protocol):
    """A request that may come again, with how to answer it when it is refused."""

    @property
    def claim(self) -> Claim:
        """What makes it the same as an earlier one."""
        ...

    @property
    def render_error(self) -> RenderError:
        """A refusal as an answer that can be kept."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What a batch of requests comes to.

    Attributes:
        answers: One for each request, in order; refusals as errors.
        events: To be appended at the end of the transaction.
    """

    answers: Sequence[Answer | NodeError]
    events: Sequence[NewEvent] = ()


ClaimedT = TypeVar("ClaimedT", bound=Claimed)
Decide = Callable[[Unit, Sequence[ClaimedT]], Awaitable[Decided]]


async def answer_batch(
    units: UnitOfWork, batch: Sequence[ClaimedT], decide: Decide[ClaimedT]
) -> Sequence[Answer | Exception]:
    """Answer requests in one transaction under the ledger's lock, each claim at most once.

    Stored answers are given again; new ones, refusals that depend on state included, are stored
    with their effect. Of equal requests in the batch the first is decided. When a COMMIT is lost
    the batch is processed again: an answer that is then found, and is the one of the attempt
    before, is the first caller's own and not a repetition.

    Args:
        units: Opens transactions.
        batch: The requests, in order.
        decide: Answers requests of different claims that have no answer yet, in order.
    """
    first: dict[Scope, ClaimedT] = {}
    for each in batch:
        first.setdefault(each.claim.scope, each)

    async def work(unit: Unit, lost: Sequence[Answer | NodeError]) -> Sequence[Answer | NodeError]:
        await unit.ledger.lock()
        answers = await _answers(unit, list(first.values()), decide)
        return [_own(*pair) for pair in zip(answers, lost, strict=True)] if lost else answers

    answers = dict(zip(first, await committed(units, work), strict=True))
    return [
        answers[each.claim.scope]
        if first[each.claim.scope] is each
        else _repeated(each.claim, first[each.claim.scope].claim, answers[each.claim.scope])
        for each in batch
    ]


async def in_time(answer: Awaitable[Answer]) -> Answer:
    """An answer to wait for at most `WAIT_MS`.

    Raises:
        IdempotencyInProgress: There is none; the request may still be carried out.
    """
    try:
        async with asyncio.timeout(WAIT_MS // 1000):
            return await answer
    except TimeoutError:
        raise in_progress() from None


async def _answers(
    unit: Unit, requests: Sequence[ClaimedT], decide: Decide[ClaimedT]
) -> Sequence[Answer | NodeError]:
    """Answers to requests of different claims, stored or new."""
    stored = await unit.idempotency.find([each.claim for each in requests])
    fresh = [each for each in requests if each.claim.scope not in stored]
    decided = await decide(unit, fresh) if fresh else Decided(())
    new_answers = iter(decided.answers)
    answers: list[Answer | NodeError] = []
    remembered: list[tuple[Claim, Answer]] = []
    for each in requests:
        if each.claim.scope in stored:
            answers.append(_replayed(each.claim, stored))
            continue
        answer = next(new_answers)
        if isinstance(answer, NodeError) and is_remembered(answer):
            answer = each.render_error(answer)
        if isinstance(answer, Answer):
            remembered.append((each.claim, answer))
        answers.append(answer)
    await unit.idempotency.remember(remembered)
    await unit.events.append(decided.events)
    return answers


def _replayed(claim: Claim, stored: Mapping[Scope, StoredAnswer]) -> Answer | NodeError:
    try:
        answer = replay(claim, stored)
    except NodeError as error:
        return error
    assert answer is not None  # it is asked for claims that are stored
    return answer


def _own(answer: Answer | NodeError, lost: Answer | NodeError) -> Answer | NodeError:
    """The answer its caller gets, who would have got `lost` if the COMMIT had been answered."""
    if isinstance(answer, Answer) and isinstance(lost, Answer) and answer.replayed:
        return lost if replace(lost, replayed=True) == answer else answer
    return answer


def _repeated(claim: Claim, first: Claim, answer: Answer | NodeError) -> Answer | NodeError:
    """What a request gets that came in the same batch as the first of its claim."""
    if isinstance(answer, NodeError):
        return answer if claim.request_hash == first.request_hash else in_progress()
    stored = StoredAnswer(first.request_hash, replace(answer, replayed=True))
    return _replayed(claim, {claim.scope: stored})
