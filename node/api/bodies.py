"""From bytes to a checked body: size, JSON, members. What the members are is in `node.api.schemas`.

JSON is read strictly: UTF-8, no NaN or Infinity, no lone surrogates, no member named twice (I-JSON,
RFC 7493 2.3: readers that differ on duplicates can be played against each other).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, LiteralString, NoReturn, TypeVar, get_args
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from node.api.forms import MEANT
from node.api.problems import BodyTooLarge, JsonInvalid, QueryInvalid
from node.core.errors import InvalidInput
from node.core.paging import LIMIT_DEFAULT, LIMIT_MAX

BODY_BYTES_MAX: Final = 64 * 1024
UPLOAD_BYTES_MAX: Final = 10 * 1024 * 1024
_QUERY_FIELDS_MAX: Final = 32
_ERRORS_MAX: Final = 20
_AT: Final = "at_parameter"
_PLAIN_AMOUNT: Final = re.compile(r"0*([0-9]+)(?:\.([0-9]+))?")


class Body(BaseModel):
    """A JSON object with exactly these members; types are taken as they are, never converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EmptyBody(Body):
    """No members."""


class Upload(Body):
    """A file as the body, in whatever media type; what its media type is, its operation checks.

    Attributes:
        query: The request's query string: with another one it is another request.
        webhook: Its headers of Standard Webhooks, names in lower case.
    """

    content: Annotated[bytes, Field(exclude=True)]
    webhook: Annotated[Mapping[str, str], Field(exclude=True)] = {}
    sha256: str
    media_type: str
    query: str


class Query(BaseModel):
    """Query parameters: exactly these, each at most once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    """Which page of a list; subclasses add filters."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="Rows of a page.")] = LIMIT_DEFAULT
    cursor: Annotated[
        str | None, Field(description="`next_cursor` of the page before, with the same filters.")
    ] = None


SomeBody = TypeVar("SomeBody", bound=Body)
SomeQuery = TypeVar("SomeQuery", bound=Query)


def headers_named(scope: Scope, name: bytes) -> list[bytes]:
    """Every value of a header; `name` in lower case."""
    return [value for key, value in scope["headers"] if key == name]


async def read(scope: Scope, receive: Receive, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: It is, or says it is, above `bytes_max`; the rest is not read.
        ClientDisconnect: The caller went away before it was complete.
    """
    declared = headers_named(scope, b"content-length")
    if declared and declared[0].isdigit() and int(declared[0]) > bytes_max:
        _too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            _too_large(bytes_max)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def upload_of(scope: Scope, content: bytes) -> Upload:
    """A body that was read, as a file."""
    types = headers_named(scope, b"content-type")
    media_type = types[0].decode("latin-1").partition(";")[0].strip().lower() if types else ""
    return Upload(
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=media_type,
        query=scope["query_string"].decode("latin-1"),
        webhook={
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name.startswith(b"webhook-")
        },
    )


def parse(raw: bytes, model: type[SomeBody]) -> SomeBody:
    """The body as a checked value.

    Raises:
        JsonInvalid: Not strict JSON.
        InvalidInput: Not these members; `errors` says where and why.
    """
    if not raw and not needs_body(model):
        return model()
    return check(strict_json(raw), model)


def check(document: object, model: type[SomeBody]) -> SomeBody:
    """A JSON value as a checked one.

    Raises:
        InvalidInput: Not these members; `errors` says where and why.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_body(
            [
                (_pointer(each["loc"]), _code(each["type"]), _words(each, "member"))
                for each in _details(error)
            ]
        ) from None


def needs_body(model: type[Body]) -> bool:
    """Whether a member is required; otherwise the body may be left out."""
    return any(field.is_required() for field in model.model_fields.values())


def invalid_body(faults: Sequence[tuple[str, str, str]]) -> InvalidInput:
    """The error for faults given as JSON pointer, code, message."""
    return InvalidInput(
        f"{_count(len(faults))} of the body is wrong; see `errors`"
        if len(faults) == 1
        else f"{_count(len(faults))} of the body are wrong; see `errors`",
        errors=[
            {"pointer": pointer, "code": code, "message": message}
            for pointer, code, message in faults
        ],
    )


def parse_query(raw: bytes, model: type[SomeQuery]) -> SomeQuery:
    """The query string as checked values.

    Raises:
        QueryInvalid: Not these parameters; `errors` says which and why.
    """
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError:
        raise QueryInvalid("the query string is not UTF-8, or has too many fields") from None
    names = [name for name, _ in pairs]
    faults = [
        {"parameter": name, "code": "repeated", "message": "give it once"}
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    if not faults:
        try:
            return model.model_validate(dict(pairs))
        except ValidationError as error:
            faults = [
                {
                    "parameter": _parameter(each),
                    "code": _code(each["type"]),
                    "message": _words(each, "parameter"),
                }
                for each in _details(error)
            ]
    raise QueryInvalid("query parameters are wrong; see `errors`", errors=faults)


def at_parameter(name: str, code: LiteralString, message: LiteralString) -> PydanticCustomError:
    """What a validator raises about several parameters; names the one that is to be left out."""
    return PydanticCustomError(code, message, {_AT: name})


def _parameter(error: ErrorDetails) -> str:
    """The parameter a fault is at; empty where it is at all of them."""
    return str(error["loc"][0] if error["loc"] else error.get("ctx", {}).get(_AT, ""))


def hash_of(body: Body) -> bytes:
    """SHA-256 of what a body says: order of members, spaces, `1.0` for `1.00` do not count."""
    plain = _canonical(body.model_dump(mode="json", by_alias=True))
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).digest()


def _canonical(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _canonical(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    if name == "amount" and isinstance(value, str) and (match := _PLAIN_AMOUNT.fullmatch(value)):
        return f"{match[1]}.{match[2] or ''}".rstrip("0").rstrip(".") if match[2] else match[1]
    return value


def strict_json(raw: bytes) -> Any:
    """The JSON value that bytes are.

    Raises:
        JsonInvalid: Not strict JSON.
    """
    try:
        document = orjson.loads(raw)
        # orjson keeps the last of two equal names; the second reading only looks for those.
        json.loads(raw, object_pairs_hook=_distinct)
    except RecursionError:
        raise JsonInvalid("the body is nested too deeply") from None
    except ValueError as error:
        raise JsonInvalid(f"the body is not valid JSON: {str(error)[:200]}") from None
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("an object names a member twice")


def _too_large(bytes_max: int) -> NoReturn:
    raise BodyTooLarge(
        f"the body is above {bytes_max} bytes; nothing was done", limit_bytes=bytes_max
    )


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)[:_ERRORS_MAX]


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901: `~` and `/` inside a name are escaped."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _code(kind: str) -> str:
    return _CODES.get(kind, kind)


_CODES: Final = {
    "missing": "required",
    "extra_forbidden": "unknown_member",
    "string_type": "not_a_string",
    "int_type": "not_an_integer",
    "int_parsing": "not_an_integer",
    "bool_type": "not_a_boolean",
    "list_type": "not_an_array",
    "tuple_type": "not_an_array",
    "model_type": "not_an_object",
    "model_attributes_type": "not_an_object",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "string_pattern_mismatch": "wrong_form",
    "literal_error": "not_one_of",
    "enum": "not_one_of",
    "greater_than_equal": "too_small",
    "less_than_equal": "too_large",
}
"""Our codes for pydantic's; others pass as they are."""

_MESSAGES: Final = {
    "missing": "this {place} is required",
    "extra_forbidden": "there is no {place} of this name here; leave it out",
    "string_type": "write a string, in double quotes",
    "int_type": "write an integer, without quotes",
    "int_from_float": "write an integer",
    "int_parsing": "write an integer",
    "bool_type": "write true or false, without quotes",
    "list_type": "write an array, in square brackets",
    "tuple_type": "write an array, in square brackets",
    "model_type": "write an object, in braces",
    "model_attributes_type": "write an object, in braces",
    "string_too_short": "write at least {min_length} character(s)",
    "string_too_long": "write at most {max_length} characters",
    "too_long": "give at most {max_length}",
    "literal_error": "write {expected}",
    "enum": "write {expected}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
}
"""What to write, by pydantic's type of error, with the facts pydantic gives."""

_LITERAL: Final = re.compile(r"'[^']*'|\b(?:True|False|None)\b")
_JSON_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_UNFORESEEN: Final = "this value does not fit; compare it with the example at /docs"
_PYDANTICS_OWN: Final = frozenset(get_args(ErrorType))


def _words(error: ErrorDetails, place: str) -> str:
    """What a caller is told; an error of our own (`PydanticCustomError`) says it already."""
    kind, facts = error["type"], error.get("ctx", {})
    if kind not in _PYDANTICS_OWN:
        return error["msg"]
    if kind == "string_pattern_mismatch":
        return MEANT.get(facts["pattern"], _UNFORESEEN)
    if kind == "literal_error":
        facts = {"expected": _in_json(facts["expected"])}
    return _MESSAGES.get(kind, _UNFORESEEN).format(**facts, place=place)


def _in_json(expected: str) -> str:
    """What pydantic expects, in JSON's words: `true` of `True`; what is quoted stays."""
    return _LITERAL.sub(lambda each: _JSON_WORDS.get(each[0], each[0]), expected)


def _count(count: int) -> str:
    return "one member" if count == 1 else f"{count} members"
