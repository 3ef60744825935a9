"""Links of the OpenAPI document: what can be called next with what an answer says.

Made from the declarations. The identifiers in an operation's example have prefixes, and so have
those in the paths and bodies of other operations: equal ones are links (OpenAPI 3.1, Link Object).
An object's own `id` leads to every operation on it, and into the bodies that name it; the id of
another object leads to where that one is shown. Only operations that some role may both call.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.api.operations import Operation
from node.core.parties import Role

_TAIL: Final = 26
"""Characters of an identifier after its prefix."""

_OF_ANY_KIND: Final = "object_id"
"""Identifies whatever an event is about, so it leads nowhere in particular."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an answer identifies.

    Attributes:
        own: Prefix of the object itself; None: it has no `id`.
        places: Prefix -> JSON pointer.
    """

    own: str | None
    places: Mapping[str, str]


def links_of(operation: Operation, operations: Iterable[Operation]) -> dict[str, Any]:
    """The links of an operation's success, by the name of the operation they lead to."""
    answer = _read(operation.example.answer)
    links: dict[str, Any] = {}
    for target in operations:
        if target is not operation and _same_caller(operation, target):
            link = _by_path(answer, target) or _by_body(answer, operation, target)
            if link is not None:
                links[target.handler.__name__] = link
    return links


def prefix_of(value: object) -> str | None:
    """`tra` of `tra_01kanv8q6dfk5vbz2m3n8r1c4x`; None: it is no identifier."""
    if not isinstance(value, str):
        return None
    prefix, _, tail = value.partition("_")
    return prefix if len(tail) == _TAIL and tail.isalnum() else None


def _by_path(answer: _Answer, target: Operation) -> dict[str, Any] | None:
    """The link by identifiers in the target's path; None: the answer has not all of them."""
    wanted = {name: prefix_of(value) for name, value in target.example.path.items()}
    places = {name: answer.places.get(prefix or "") for name, prefix in wanted.items()}
    if not places or None in places.values():
        return None
    shows = target.method == "GET" and target.path.endswith("}")
    if answer.own not in wanted.values() and not shows:
        return None
    parameters = {name: f"$response.body#{place}" for name, place in places.items()}
    return {"operationId": target.handler.__name__, "parameters": parameters}


def _by_body(answer: _Answer, operation: Operation, target: Operation) -> dict[str, Any] | None:
    """The link from what was made into a body that names it; None: there is none."""
    body = target.example.body
    is_made = operation.method == "POST" and target.method == "POST" and not target.example.path
    if answer.own is None or not is_made or not isinstance(body, Mapping):
        return None
    value = f"$response.body#{answer.places[answer.own]}"
    members = [name for name, each in body.items() if prefix_of(each) == answer.own]
    if not members:
        return None
    return {"operationId": target.handler.__name__, "requestBody": dict.fromkeys(members, value)}


def _read(answer: object) -> _Answer:
    """What an answer, or the first row of a list, identifies."""
    row, at = answer, ""
    if isinstance(answer, Mapping) and isinstance(answer.get("data"), list) and answer["data"]:
        row, at = answer["data"][0], "/data/0"
    if not isinstance(row, Mapping):
        return _Answer(None, {})
    places: dict[str, str] = {}
    for name, value in row.items():
        prefix = prefix_of(value)
        if prefix is not None and name != _OF_ANY_KIND:
            places.setdefault(prefix, f"{at}/{name}")
    return _Answer(prefix_of(row.get("id")), places)


def _same_caller(operation: Operation, target: Operation) -> bool:
    anyone = frozenset(Role)
    return bool((operation.who or anyone) & (target.who or anyone))
