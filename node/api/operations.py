"""One declaration per operation, and the one way every request goes.

An `Operation` says who may call, what the body and the query are, what the answer is and what it
may be refused for. The same declaration is enforced here and printed by `node.api.openapi`, so the
document cannot drift from the behaviour. Checks come in this order, the first that fails answers:
those of `node.api.gate` (credential, rate, role, network, scope, suspension), signature,
Idempotency-Key, query, body; then the handler.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from node.api import bodies
from node.api.bodies import Body, PageQuery, Query, Upload
from node.api.gate import Gate, headers_for
from node.api.problems import (
    JSON,
    PROBLEM_JSON,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    MethodNotAllowed,
    headers_of,
    problem,
)
from node.api.services import Services
from node.core import parties
from node.core.errors import NodeError
from node.core.paging import ListQuery
from node.core.parties import Caller, Principal, Role
from node.core.ports.idempotency import Answer, Claim

REQUEST_ID: Final = "corridor.request_id"
ROUTE: Final = "corridor.route"
"""Keys of the ASGI scope: set by `node.api.envelope`, and for it."""

EVERYONE: Final = frozenset(Role)
OPERATORS: Final = frozenset({Role.OPERATOR})
INSTITUTIONS: Final = frozenset({Role.PARTNER, Role.OPERATOR})

_KEY_MAX: Final = 255
_NO_CONTENT: Final = 204
_FIRST_ERROR: Final = 400

CSV: Final = "text/csv; charset=utf-8; header=present"
"""Media type of files of RFC 4180."""

BodyT = TypeVar("BodyT", bound=Body)
QueryT = TypeVar("QueryT", bound=Query)
BodyT_co = TypeVar("BodyT_co", bound=Body | None, covariant=True)
QueryT_co = TypeVar("QueryT_co", bound=Query | None, covariant=True)


class KeyRule(Enum):
    """What an operation says about the header Idempotency-Key."""

    UNUSED = auto()  # it changes nothing
    ACCEPTED = auto()
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class Example:
    """What the documentation shows: parameters of path and query, body, answer.

    Attributes:
        files: Of an upload, a text by media type.
    """

    answer: object
    body: object = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """Success in another media type than JSON, to be kept as a file.

    Attributes:
        name: Of the file, ASCII.
    """

    media_type: str
    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        path: Template, `/v1/transfers/{transfer_id}`.
        tag: Chapter of the documentation.
        who: Roles that may call; None: anyone, without a credential.
        status: Of success.
        answer: Type of the success body, a TypedDict.
        refusals: Errors of its own, besides those that follow from the declaration.
        files: Media types of success, besides JSON.
        uploads: Media types of the body, where it is a file of at most `upload_bytes_max`.
        scope: What a partner's key needs for it, where a key is needed at all.
    """

    method: str
    path: str
    tag: str
    handler: Callable[["Call[Any, Any]"], Awaitable[Answer | File]]
    who: frozenset[Role] | None
    key: KeyRule
    body: type[Body] | None
    query: type[Query] | None
    status: int
    answer: Any
    example: Example
    refusals: tuple[type[NodeError], ...]
    files: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    scope: parties.Scope = parties.Scope.READ
    upload_bytes_max: int = bodies.UPLOAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT_co, QueryT_co]):
    """One request that passed the checks of its operation.

    Attributes:
        path: As requested, with the ids in place.
        claim: None where no Idempotency-Key came.
        caller: The credential of who asks; None: of an operation for anyone.
    """

    services: Services
    operation: Operation
    path: str
    request_id: str
    parameters: Mapping[str, str]
    principal_or_none: Principal | None
    body: BodyT_co
    query: QueryT_co
    claim: Claim | None
    caller: Caller | None = None

    @property
    def principal(self) -> Principal:
        """Who asks; only for operations that need a credential."""
        assert self.principal_or_none is not None
        return self.principal_or_none

    @property
    def required_claim(self) -> Claim:
        """The claim of an operation that needs an Idempotency-Key."""
        assert self.claim is not None
        return self.claim

    def answer(self, view: object, location: str | None = None) -> Answer:
        """Success, with the operation's status."""
        return Answer(self.operation.status, orjson.dumps(view), location)

    def refusal(self, error: NodeError) -> Answer:
        """A refusal as an answer that can be remembered."""
        return problem(error, path=self.path, request_id=self.request_id)


class Operations:
    """The operations of one chapter, in the order of the documentation."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Operation] = []

    def get(  # noqa: PLR0913 - a declaration, all by name
        self,
        path: str,
        *,
        answer: Any,
        example: Example,
        who: frozenset[Role] | None = EVERYONE,
        query: type[QueryT] | None = None,
        refusals: tuple[type[NodeError], ...] = (),
        files: tuple[str, ...] = (),
        scope: parties.Scope = parties.Scope.READ,
    ) -> Callable[
        [Callable[[Call[None, QueryT]], Awaitable[Answer | File]]],
        Callable[[Call[None, QueryT]], Awaitable[Answer | File]],
    ]:
        """Declare a GET."""

        def declare(
            handler: Callable[[Call[None, QueryT]], Awaitable[Answer | File]],
        ) -> Callable[[Call[None, QueryT]], Awaitable[Answer | File]]:
            self.all.append(
                Operation(
                    "GET", path, self.tag, handler, who, KeyRule.UNUSED, None, query, 200, answer,
                    example, refusals, files, scope=scope,
                )
            )  # fmt: skip
            return handler

        return declare

    def post(  # noqa: PLR0913 - a declaration, all by name
        self,
        path: str,
        *,
        body: type[BodyT],
        answer: Any,
        example: Example,
        who: frozenset[Role] = EVERYONE,
        key: KeyRule = KeyRule.ACCEPTED,
        status: int = 201,
        refusals: tuple[type[NodeError], ...] = (),
        scope: parties.Scope = parties.Scope.PAY,
    ) -> Callable[
        [Callable[[Call[BodyT, None]], Awaitable[Answer]]],
        Callable[[Call[BodyT, None]], Awaitable[Answer]],
    ]:
        """Declare a POST."""

        def declare(
            handler: Callable[[Call[BodyT, None]], Awaitable[Answer]],
        ) -> Callable[[Call[BodyT, None]], Awaitable[Answer]]:
            self.all.append(
                Operation(
                    "POST", path, self.tag, handler, who, key, body, None, status, answer,
                    example, refusals, scope=scope,
                )
            )  # fmt: skip
            return handler

        return declare

    def upload(  # noqa: PLR0913 - a declaration, all by name
        self,
        path: str,
        *,
        uploads: tuple[str, ...],
        query: type[QueryT],
        answer: Any,
        example: Example,
        who: frozenset[Role] | None = EVERYONE,
        key: KeyRule = KeyRule.ACCEPTED,
        status: int = 201,
        refusals: tuple[type[NodeError], ...] = (),
        scope: parties.Scope = parties.Scope.PAY,
        bytes_max: int = bodies.UPLOAD_BYTES_MAX,
    ) -> Callable[
        [Callable[[Call[Upload, QueryT]], Awaitable[Answer]]],
        Callable[[Call[Upload, QueryT]], Awaitable[Answer]],
    ]:
        """Declare a POST whose body is a file of one of these media types."""

        def declare(
            handler: Callable[[Call[Upload, QueryT]], Awaitable[Answer]],
        ) -> Callable[[Call[Upload, QueryT]], Awaitable[Answer]]:
            self.all.append(
                Operation(
                    "POST", path, self.tag, handler, who, key, Upload, query, status,
                    answer, example, refusals, (), uploads, scope, bytes_max,
                )
            )  # fmt: skip
            return handler

        return declare


class PathEndpoint:
    """The ASGI application of one path: all its methods."""

    def __init__(self, operations: list[Operation], services: Services, gate: Gate) -> None:
        self._services = services
        self._gate = gate
        self._path = operations[0].path
        self._by_method = {each.method: each for each in operations}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]
        self._allowed = [*self._by_method, "OPTIONS"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ROUTE] = self._path
        try:
            if scope["method"] == "OPTIONS":
                await send_answer(send, Answer(204, b""), {"Allow": ", ".join(self._allowed)})
                return
            answer = await self._answer(scope, receive)
        except NodeError as error:
            await send_problem(scope, send, error)
        except ClientDisconnect:
            return
        else:
            if isinstance(answer, File):
                await _send_file(send, answer, headers_for(scope))
            else:
                await send_answer(send, answer, headers_for(scope))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | File:
        operation = self._by_method.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(self._allowed)
        caller, raw = None, None
        if operation.who is None:
            await self._gate.pass_anyone(scope, operation.tag)
        else:
            caller = await self._gate.pass_caller(scope, operation.who, operation.scope)
            if self._gate.wants_signature(scope, caller):
                raw = await _read(operation, scope, receive)
                await self._gate.check_signature(scope, caller, raw)
        principal = None if caller is None else caller.principal
        key = _idempotency_key(scope, operation.key)
        query = operation.query
        values = None if query is None else bodies.parse_query(scope["query_string"], query)
        body: Body | None = None
        if operation.body is not None:
            raw = await _read(operation, scope, receive) if raw is None else raw
            is_file = operation.body is Upload
            body = bodies.upload_of(scope, raw) if is_file else bodies.parse(raw, operation.body)
        claim = None
        if key is not None and principal is not None and body is not None:
            claim = Claim(principal.key, operation.method, scope["path"], key, bodies.hash_of(body))
        return await operation.handler(
            Call(
                self._services,
                operation,
                scope["path"],
                scope[REQUEST_ID],
                scope["path_params"],
                principal,
                body,
                values,
                claim,
                caller,
            )
        )


async def _read(operation: Operation, scope: Scope, receive: Receive) -> bytes:
    """All of the body; of an operation without one nothing is read."""
    if operation.body is None:
        return b""
    is_file = operation.body is Upload
    bytes_max = operation.upload_bytes_max if is_file else bodies.BODY_BYTES_MAX
    return await bodies.read(scope, receive, bytes_max)


def list_query(call: Call[None, PageQuery]) -> ListQuery:
    """The list a call asks for; every parameter besides limit and cursor is a filter."""
    given = call.query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
    return ListQuery(call.query.limit, call.query.cursor, given, scope=call.path)


async def send_answer(send: Send, answer: Answer, headers: Mapping[str, str]) -> None:
    """Send an answer; a refusal that was remembered is a problem document like a new one."""
    fields = []
    if answer.status != _NO_CONTENT:
        media_type = JSON if answer.status < _FIRST_ERROR else PROBLEM_JSON
        fields.append((b"content-type", media_type.encode()))
        fields.append((b"content-length", str(len(answer.body)).encode()))
    if answer.location is not None:
        fields.append((b"location", answer.location.encode()))
    if answer.replayed:
        fields.append((b"idempotent-replayed", b"true"))
    fields += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": answer.body})


async def _send_file(send: Send, file: File, headers: Mapping[str, str]) -> None:
    fields = [
        (b"content-type", file.media_type.encode()),
        (b"content-length", str(len(file.body)).encode()),
        (b"content-disposition", f'attachment; filename="{file.name}"'.encode("ascii")),
        *((name.lower().encode(), value.encode()) for name, value in headers.items()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": file.body})


async def send_problem(scope: Scope, send: Send, error: NodeError) -> None:
    """Send the problem document of an error."""
    answer = problem(error, path=scope["path"], request_id=scope[REQUEST_ID])
    await send_answer(send, answer, {**headers_for(scope), **headers_of(error)})


def _idempotency_key(scope: Scope, rule: KeyRule) -> str | None:
    if rule is KeyRule.UNUSED:
        return None
    values = bodies.headers_named(scope, b"idempotency-key")
    if not values:
        if rule is KeyRule.REQUIRED:
            raise IdempotencyKeyMissing(
                "send a header `Idempotency-Key` with a new random value; send the same value"
                " again when you repeat the request"
            )
        return None
    key = values[0]
    visible = all(0x21 <= byte <= 0x7E for byte in key)  # noqa: PLR2004 - RFC 5234 VCHAR
    if len(values) > 1 or not visible or not 1 <= len(key) <= _KEY_MAX:
        raise IdempotencyKeyInvalid(
            f"the `Idempotency-Key` is one value of 1 to {_KEY_MAX} visible ASCII characters"
        )
    return key.decode()
