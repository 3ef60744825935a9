"""Every member of every body, path and query with values nobody means, over the real services."""

import copy
from collections.abc import Iterator
from typing import Any

from node.api.operations import KeyRule, Operation
from node.api.routes import OPERATIONS
from tests.api.conftest import RealNode
from tests.api.test_bad_input import a_quote, headers

NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**300,
    1.5,
    "",
    " ",
    "\x00",
    "\u202e",
    "\U0010ffff",
    "'; DROP TABLE transfer; --",
    "%",
    "9" * 39,
    "0" * 38,
    "x" * 5000,
    [],
    [[]],
    {},
    {"currency": "EUR", "amount": "1.00"},
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the members of a JSON value are, objects themselves included."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """The value with another member at `path`."""
    made = copy.deepcopy(value)
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = new
    return made


def bodies_of(operation: Operation, ids: dict[str, str]) -> list[Any]:
    """Bodies that differ from a good one in a single member."""
    good: Any = operation.example.body
    if good is None:
        return []
    good = copy.deepcopy(good) | {name: ids[name] for name in good if name in ids}
    return [changed(good, path, each) for path in leaves(good) for each in NASTY]


async def test_no_value_of_a_member_is_an_error_of_the_node(hooked_app: RealNode) -> None:
    node = hooked_app
    ids = {"customer_id": node.customer_id, "quote_id": await a_quote(node)}
    for operation in OPERATIONS:
        path = operation.path.format(**{**operation.example.path, **ids})
        for place, body in enumerate(bodies_of(operation, ids)):
            key = f"{operation.handler.__name__}-{place}"
            response = await node.client.request(
                operation.method,
                path,
                headers=headers(
                    node.operator, key if operation.key is not KeyRule.UNUSED else None
                ),
                json=body,
            )
            problem = response.json()
            assert response.status_code < 500 or problem["retryable"], (path, body, problem)


async def test_no_path_or_query_is_an_error_of_the_node(real_app: RealNode) -> None:
    node = real_app
    texts = [each for each in NASTY if isinstance(each, str)]
    for operation in OPERATIONS:
        if operation.method != "GET" or operation.path in ("/readyz", "/v1/prices"):
            continue
        example = operation.example.path
        names = list(operation.query.model_fields) if operation.query else []
        prefixes = [f"{each[:4]}{'z' * 26}" for each in example.values()]
        for text in [*texts, *prefixes]:
            for name in example:
                path = operation.path.format(**{**example, name: _quoted(text)})
                response = await node.client.get(
                    path, headers=headers(node.operator), params=operation.example.query
                )
                assert response.status_code in (200, 404), (path, response.text)
            for name in names:
                path = operation.path.format(**example)
                response = await node.client.get(
                    path,
                    headers=headers(node.operator),
                    params={**operation.example.query, name: text},
                )
                assert response.status_code in (200, 404, 422), (path, name, response.text)


def _quoted(text: str) -> str:
    """Percent-encoded, and never empty."""
    return "".join(f"%{byte:02X}" for byte in text.encode()) or "%20"
