"""The OpenAPI 3.1 document, made from the declarations of `node.api.operations`.

FastAPI's own generator reads signatures; here the declarations that are enforced are read instead.
Every operation has an example, and a problem document for each error it can answer.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from node import __version__
from node.api.bodies import PageQuery, needs_body
from node.api.gate import UNLIMITED_TAG
from node.api.links import links_of
from node.api.metrics import CONTENT_TYPE as METRICS
from node.api.operations import KeyRule, Operation
from node.api.problems import (
    JSON,
    MEANING,
    PROBLEM_JSON,
    TYPE_BASE,
    BodyTooLarge,
    CredentialMissing,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    JsonInvalid,
    QueryInvalid,
    status_of,
)
from node.core.errors import (
    CursorInvalid,
    DatabaseUnavailable,
    Forbidden,
    InvalidInput,
    NetworkNotAllowed,
    NodeError,
    PartnerSuspended,
    RateLimited,
    SignatureInvalid,
    SignatureReplayed,
    SignatureRequired,
    Unauthenticated,
)
from node.core.parties import Role
from node.services.idempotency import IdempotencyInProgress, IdempotencyKeyReused

_REF: Final = "#/components/schemas/{model}"
_INTRODUCTION: Final = """
Quotes, transfers and their settlement on chain.

* **Credential**: `Authorization: Bearer <key>`. Another's object does not exist for you: 404. A
  partner's key has scopes (`read`, `quote`, `pay`, `refund`, `admin`), may end and may be bound to
  networks; each operation says which scope it needs, `GET /v1/me` which ones you have.
* **Rate limits**: `RateLimit` says how many requests of a class (read, quote, write) are left; 429
  `rate_limited` says when to go on.
* **Money** is a decimal string with its currency, `{"currency": "EUR", "amount": "200.00"}`; never
  a JSON number.
* **Safe to repeat**: send an `Idempotency-Key` with every POST. The same key with the same body
  gets the first answer again, with `Idempotent-Replayed: true`.
* **Errors** are problem documents (RFC 9457); program against `code`. All codes are at
  [/docs/problems](/docs/problems).
* **Lists** answer `data` and `next_cursor`; give it back as `cursor` for the next page.
* **Links** of an answer say what can be called next with what it says.

The [guide](/docs) begins with the first call, shows how to sign requests and verify webhooks, and
draws the lifecycles. A first transfer takes five calls: `POST /v1/customers` makes a customer,
`POST /v1/customers/{customer_id}/top-ups` books money for it, `POST /v1/quotes` fixes the price,
`POST /v1/transfers` sends, and `GET /v1/transfers/{transfer_id}/events` tells what happens.

This document is at [/openapi.json](/openapi.json).
""".strip()

_SANDBOX: Final = (
    "**This node is a sandbox**: its bank is for play and its rates are reference rates of a past"
    " day."
)

_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457. Further members depend on the code.",
    "required": [
        "type", "title", "status", "detail", "instance", "code", "retryable", "request_id",
    ],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For a person: the fault and the remedy."},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "For a program."},
        "retryable": {
            "type": "boolean",
            "description": "The same request can succeed later without a change.",
        },
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Of an invalid body or query, each fault.",
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "pointer": {"type": "string", "format": "json-pointer"},
                    "parameter": {"type": "string"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}  # fmt: skip

_PAGES: Final = (
    ("/metrics", "show_metrics", "Show the figures of this process, for Prometheus", METRICS),
    ("/openapi.json", "show_openapi", "Show this document", JSON),
    ("/docs", "show_docs", "Show the guide, for people", "text/html"),
    ("/docs/reference", "show_reference", "Show this document, for people", "text/html"),
    ("/docs/problems", "show_problems", "Show what every error code means", "text/html"),
)
"""Documents that anyone may read: path, operation, summary, media type."""

_HEADERS: Final = {
    "RequestId": {
        "description": "Of this request, in the node's logs; yours if you sent one.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Path of the object.", "schema": {"type": "string"}},
    "FileName": {
        "description": "The name to keep it by; not with JSON.",
        "schema": {"type": "string"},
    },
    "Replayed": {
        "description": "`true` where this is the answer of an earlier request.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RetryAfter": {"description": "Seconds.", "schema": {"type": "integer"}},
    "Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "Requests of this class that are left, and seconds until one more is:"
        " draft-ietf-httpapi-ratelimit-headers-11. Not where the node has no limit.",
        "schema": {"type": "string"},
        "example": '"read";r=5999;t=60',
    },
    "RateLimitPolicy": {
        "description": "Requests of this class that may be sent within `w` seconds; the same.",
        "schema": {"type": "string"},
        "example": '"read";q=6000;w=60',
    },
}


def document(operations: Iterable[Operation], *, sandbox: bool = False) -> dict[str, Any]:
    """The whole document, a JSON value; that of a sandbox says that it is one."""
    operations = tuple(operations)
    schemas, references = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        made = _operation(each, references)
        if links := links_of(each, operations):
            made["responses"][str(each.status)]["links"] = links
        paths.setdefault(each.path, {})[each.method.lower()] = made
    tags = list(dict.fromkeys(each.tag for each in operations))
    for path, name, summary, media_type in _PAGES:
        paths[path] = {"get": _page(name, summary, media_type, tags[-1])}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Corridor",
            "version": __version__,
            "description": f"{_SANDBOX}\n\n{_INTRODUCTION}" if sandbox else _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in tags],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "headers": _HEADERS,
            "examples": _problem_examples(operations),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key or token of this node: `corridor keys create`.",
                }
            },
        },
    }


def errors_of(operation: Operation) -> list[type[NodeError]]:
    """Every error the operation can answer: its own, and those its declaration brings."""
    errors: list[type[NodeError]] = []
    if operation.tag != UNLIMITED_TAG:
        errors.append(RateLimited)
    if operation.who is not None:
        errors += [CredentialMissing, Unauthenticated, DatabaseUnavailable]
        errors += [Forbidden, NetworkNotAllowed]
        if operation.method != "GET" and operation.who != frozenset({Role.OPERATOR}):
            errors.append(PartnerSuspended)
        if Role.PARTNER in operation.who:
            errors += [SignatureRequired, SignatureInvalid, SignatureReplayed]
    if operation.key is not KeyRule.UNUSED:
        if operation.key is KeyRule.REQUIRED:
            errors.append(IdempotencyKeyMissing)
        errors += [IdempotencyKeyInvalid, IdempotencyKeyReused, IdempotencyInProgress]
    if operation.query is not None:
        errors.append(QueryInvalid)
        if issubclass(operation.query, PageQuery):
            errors.append(CursorInvalid)
    if operation.body is not None:
        errors += [BodyTooLarge] if operation.uploads else [JsonInvalid, BodyTooLarge, InvalidInput]
    return [*errors, *(each for each in operation.refusals if each not in errors)]


def _schemas(
    operations: tuple[Operation, ...],
) -> tuple[dict[str, Any], dict[tuple[int, JsonSchemaMode], dict[str, Any]]]:
    """Component schemas, and the reference to each type by its identity."""
    inputs: dict[tuple[int, JsonSchemaMode], TypeAdapter[Any]] = {}
    for each in operations:
        inputs[id(each.answer), "serialization"] = TypeAdapter(each.answer)
        if each.body is not None and not each.uploads:
            inputs[id(each.body), "validation"] = TypeAdapter(each.body)
    references, definitions = TypeAdapter.json_schemas(
        [(key, mode, adapter) for (key, mode), adapter in inputs.items()],
        ref_template=_REF,
        schema_generator=_Schemas,
    )
    return definitions["$defs"], dict(references)


class _Schemas(GenerateJsonSchema):
    """Leaves out the titles pydantic makes of names: they say nothing new."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's own
        return False


def _operation(operation: Operation, references: Any) -> dict[str, Any]:
    summary, _, description = (operation.handler.__doc__ or "").strip().partition("\n\n")
    made: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "tags": [operation.tag],
        "summary": summary.rstrip("."),
        "description": _description(operation, description),
        "parameters": [*_path_parameters(operation), *_query(operation), *_key(operation)],
        "responses": _responses(operation, references[id(operation.answer), "serialization"]),
        "security": [] if operation.who is None else [{"bearer": []}],
    }
    if operation.uploads:
        made["requestBody"] = {
            "required": True,
            "content": {each: _upload(operation, each) for each in operation.uploads},
        }
    elif operation.body is not None:
        made["requestBody"] = {
            "required": needs_body(operation.body),
            "content": {
                JSON: {
                    "schema": references[id(operation.body), "validation"],
                    "examples": _one(operation.example.body),
                }
            },
        }
    return {
        name: value for name, value in made.items() if value not in ("", []) or name == "security"
    }


def _page(name: str, summary: str, media_type: str, tag: str) -> dict[str, Any]:
    """A path that answers with one document; `tag` is that of what anyone may ask for."""
    kind = "object" if media_type == JSON else "string"
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {
                "description": "Done.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {media_type: {"schema": {"type": kind}}},
            }
        },
        "security": [],
    }


def _description(operation: Operation, text: str) -> str:
    plain = " ".join(text.split())
    if operation.who is None:
        return plain
    roles = ", ".join(sorted(operation.who))
    scope = f" Scope: {operation.scope.value}." if Role.PARTNER in operation.who else ""
    return f"{plain}\n\nRoles: {roles}.{scope}".strip()


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, example in operation.example.path.items()
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = _inlined(operation.query)
    parameters = []
    for name, member in schema["properties"].items():
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ())}
        if description := member.pop("description", None):
            parameter["description"] = description
        if name in operation.example.query:
            parameter["example"] = operation.example.query[name]
        parameters.append({**parameter, "schema": member})
    return parameters


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a query: no references, and no null, which a query cannot say."""
    schema = model.model_json_schema(schema_generator=_Schemas)
    definitions = schema.get("$defs", {})
    for name, member in schema["properties"].items():
        choices = [each for each in member.pop("anyOf", [member]) if each.get("type") != "null"]
        (only,) = choices
        if "$ref" in only:
            only = definitions[only["$ref"].rpartition("/")[2]]
        kept = {
            key: value
            for key, value in member.items()
            if key != "$ref" and (key != "default" or value is not None)
        }
        merged = {**only, **kept}
        merged.pop("title", None)
        schema["properties"][name] = merged
    return schema


def _key(operation: Operation) -> list[dict[str, Any]]:
    if operation.key is KeyRule.UNUSED:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": operation.key is KeyRule.REQUIRED,
            "description": "A new random value per request; the same again when you repeat it.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
        }
    ]


def _responses(operation: Operation, reference: Any) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if operation.tag != UNLIMITED_TAG:
        headers["RateLimit"] = {"$ref": "#/components/headers/RateLimit"}
        headers["RateLimit-Policy"] = {"$ref": "#/components/headers/RateLimitPolicy"}
    extra = dict(headers)
    if operation.method == "POST" and operation.status in (201, 202):
        extra["Location"] = {"$ref": "#/components/headers/Location"}
    if operation.files:
        extra["Content-Disposition"] = {"$ref": "#/components/headers/FileName"}
    if operation.key is not KeyRule.UNUSED:
        extra["Idempotent-Replayed"] = {"$ref": "#/components/headers/Replayed"}
    responses: dict[str, Any] = {
        str(operation.status): {
            "description": "Done.",
            "headers": extra,
            "content": {
                JSON: {"schema": reference, "examples": _one(operation.example.answer)},
                **{each: {"schema": {"type": "string"}} for each in operation.files},
            },
        }
    }
    by_status: dict[int, list[type[NodeError]]] = {}
    for error in errors_of(operation):
        by_status.setdefault(status_of(error), []).append(error)
    for status, errors in sorted(by_status.items()):
        responses[str(status)] = _problem_response(status, errors, dict(headers))
    return responses


def _upload(operation: Operation, media_type: str) -> dict[str, Any]:
    made: dict[str, Any] = {"schema": {"type": "string"}}
    if text := operation.example.files.get(media_type):
        made["examples"] = _one(text)
    return made


def _one(example: object) -> dict[str, Any]:
    """Under a name: tools take a bare example with a null in it for a map of examples."""
    return {"example": {"value": example}}


def _problem_response(
    status: int, errors: list[type[NodeError]], headers: dict[str, Any]
) -> dict[str, Any]:
    if status == status_of(Unauthenticated):
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/Authenticate"}
    if any(error.retryable for error in errors):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": "\n".join(f"* `{error.code}`: {MEANING[error.code]}" for error in errors),
        "headers": headers,
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": _REF.format(model="Problem")},
                "examples": {
                    error.code: {"$ref": f"#/components/examples/{error.code}"} for error in errors
                },
            }
        },
    }


def _problem_examples(operations: Iterable[Operation]) -> dict[str, Any]:
    """One problem document per code that any operation answers."""
    errors = {error.code: error for each in operations for error in errors_of(each)}
    return {
        code: {
            "value": {
                "type": TYPE_BASE + code,
                "title": error.title,
                "status": status_of(error),
                "detail": MEANING[code].partition(". ")[0],
                "instance": "/v1/transfers",
                "code": code,
                "retryable": error.retryable,
                "request_id": "4f0c6f0b8f5e4c7e9d7a2b1c3d4e5f60",
            }
        }
        for code, error in sorted(errors.items())
    }
