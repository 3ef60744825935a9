"""Requests that Schemathesis makes of the OpenAPI document, sent to a real node by several callers.

Laws: no 500; no status, code, header or answer that the document does not have; nothing for callers
without a key; no object of one partner in an answer to the other. Names of objects are put into
half of the requests, also those of the other partner, so that answers are more than 404.

Everything follows from a seed, but for what the node itself makes anew (identifiers, times).
"""

import asyncio
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from node.api.examples import CUSTOMER_ID
from node.api.links import prefix_of
from node.api.openapi import document
from node.api.operations import Operation
from node.api.routes import OPERATIONS
from tests.api.pain001_messages import Instruction, message

CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
DONE: Final = range(200, 300)
SHARED: Final = frozenset({"bat"})
"""Kinds of objects that more than one partner sees: a batch pays transfers of many."""

_ID: Final = re.compile(r"\b[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}\b")
_KEPT: Final = 8
_LIMIT_S: Final = 60
_SCENARIOS_MAX: Final = 10_000
_WITH_CHANCE: Final = 2  # Hypothesis begins with the simplest of all
_NAMES: Final[Mapping[str, str]] = {
    name: prefix
    for each in OPERATIONS
    for name, value in each.example.path.items()
    if (prefix := prefix_of(value)) is not None
}
"""Names of parameters, and the kind of object that they name."""


@dataclass
class Caller:
    """Who sends requests.

    Attributes:
        secret: None: without a key.
        ids: Identifiers seen in answers, by prefix, the newest last.
        wrote: Identifiers sent as free text, which may come back.
        word: Stands in every name it gives, and must never be told to another partner.
        renew: Makes another key, where a request has revoked the last one.
    """

    name: str
    secret: str | None
    word: str = ""
    renew: Callable[[], Coroutine[Any, Any, str]] | None = None
    ids: dict[str, list[str]] = field(default_factory=dict)
    wrote: set[str] = field(default_factory=set)


@dataclass
class Fuzz:
    """One run.

    Attributes:
        client: Of the node, in the event loop `loop`; everything here runs in another thread.
        partners: Two, who must not see each other's objects.
        findings: What broke a law, with the request that did.
        answered: (method, path, caller's name, status) -> how often.
    """

    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop
    partners: tuple[Caller, Caller]
    findings: dict[str, str] = field(default_factory=dict)
    answered: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    owners: dict[str, str] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self.document = json.loads(json.dumps(document(OPERATIONS)))
        self.schema = schemathesis.openapi.from_dict(self.document)
        self.declared = {(each.method, each.path): each for each in OPERATIONS}

    def requests(
        self, callers: list[Caller], examples: Callable[[Operation | None], int], salt: int
    ) -> None:
        """Send so many requests of each operation, by one of the callers each."""
        for result in self.schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr] # the document is valid
            declared = self.declared.get((operation.method.upper(), operation.path))
            salted = zlib.crc32(operation.label.encode()) + salt
            self._requests_of(operation, declared, callers, examples(declared), salted)

    def _requests_of(
        self,
        operation: Any,
        declared: Operation | None,
        callers: list[Caller],
        count: int,
        salt: int,
    ) -> None:
        positive = operation.as_strategy(GenerationMode.POSITIVE)
        negative = operation.as_strategy(GenerationMode.NEGATIVE)

        def one(data: st.DataObject) -> None:
            caller = data.draw(st.sampled_from(callers))
            kind = data.draw(st.integers(0, 3))
            case: Case[Any] = data.draw(negative if kind == 1 else positive)
            if kind > 1 and declared is not None:
                self._as_example(case, declared, caller)
            if data.draw(st.booleans()):
                # Drawn apart from Hypothesis: what is known differs from one request to the next.
                chance = data.draw(st.randoms(use_true_random=True))
                whose = chance.choice([caller, caller, *self.partners])
                self._name(case, declared, whose, chance.choice)
            self.send(case, caller)

        _play(one, count, salt)

    def links(self, scenarios: int, steps: int, salt: int) -> None:
        """Follow the links of the document, a scenario by one partner after the other."""
        fuzz = self

        base: Any = self.schema.as_state_machine()

        class Machine(base):  # type: ignore[misc] # made at run time
            turn = 0

            def setup(self) -> None:
                type(self).turn += 1

            def call(self, case: "Case[Any]", **_: Any) -> Response:
                caller = fuzz.partners[self.turn % 2]
                declared = fuzz.declared.get((case.method, case.path))
                if declared is not None and declared.example.body is not None:
                    body = case.body if isinstance(case.body, dict) else {}
                    linked = {name: each for name, each in body.items() if _is_id(each)}
                    case.body = {**_fresh(declared.example.body, fuzz.sent, caller.word), **linked}
                return fuzz.send(case, caller)

            def validate_response(self, response: Response, case: "Case[Any]", **_: Any) -> None:
                """`send` has judged it."""

        for number in range(scenarios):
            seed(salt * _SCENARIOS_MAX + number)(Machine)
            with suppress(FlakyStrategyDefinition):  # answers decide what can be drawn next
                Machine.run(settings=_settings(_WITH_CHANCE, stateful_step_count=steps))

    def send(self, case: "Case[Any]", caller: Caller) -> Response:
        """Send one request and judge its answer."""
        case.headers.pop("Authorization", None)
        if caller.secret is not None:
            case.headers["Authorization"] = f"Bearer {caller.secret}"
        request = _prepared(case)
        future = asyncio.run_coroutine_threadsafe(
            self.client.request(
                str(request.method),
                str(request.url),
                headers=dict(request.headers),  # type: ignore[arg-type] # texts, all of them
                content=_bytes(request.body),
            ),
            self.loop,
        )
        answer = future.result(_LIMIT_S)
        self.sent += 1
        self.answered[case.method, case.path, caller.name, answer.status_code] += 1
        self._judge(case, caller, answer)
        if caller.renew is not None and _code_of(answer) == "credential_invalid":
            # It has revoked its own key.
            caller.secret = asyncio.run_coroutine_threadsafe(caller.renew(), self.loop).result()
        return Response.from_any(answer)

    def _judge(self, case: "Case[Any]", caller: Caller, answer: httpx.Response) -> None:
        declared = self.declared.get((case.method, case.path))
        if declared is not None and declared.uploads and case.meta is not None:
            # A file is a text whatever is in it: what else is wrong is judged by itself.
            case.meta.components.pop(ParameterLocation.BODY, None)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for each in group.exceptions:
                if not isinstance(each, AcceptedNegativeData) or not _may_accept(declared, case):
                    self._found(case, caller, answer, f"{type(each).__name__}: {each}")
        if answer.status_code >= 500 and answer.status_code != 503:
            self._found(case, caller, answer, "it is the node's fault")
        if declared is None:
            return
        if answer.status_code >= 400:
            self._judge_code(case, caller, answer)
            return
        if caller.secret is None and declared.who is not None:
            self._found(case, caller, answer, "it was answered without a key")
        self._judge_names(case, caller, answer)

    def _judge_code(self, case: "Case[Any]", caller: Caller, answer: httpx.Response) -> None:
        """The code is one that the document has for this operation and status."""
        responses = self.document["paths"][case.path][case.method.lower()]["responses"]
        described = responses.get(str(answer.status_code), {}).get("content", {})
        known = set(described.get("application/problem+json", {}).get("examples", {}))
        code = _code_of(answer)
        if code not in known | {"path_unknown"}:
            self._found(case, caller, answer, f"the code {code} is not documented here")

    def _judge_names(self, case: "Case[Any]", caller: Caller, answer: httpx.Response) -> None:
        """No object of one partner is in an answer to the other."""
        if caller not in self.partners:
            return
        caller.wrote |= set(_ID.findall(" ".join(_texts(case.body))))
        for other in self.partners:
            if other is not caller and other.word in answer.text:
                self._found(case, caller, answer, f"it tells a name that {other.name} gave")
        for name in dict.fromkeys(_ID.findall(answer.text)):
            prefix = name[:3]
            if prefix in SHARED or name in caller.wrote:
                continue
            owner = self.owners.setdefault(name, caller.name)
            if owner != caller.name:
                self._found(case, caller, answer, f"{name} is {owner}'s")
            known = caller.ids.setdefault(prefix, [])
            if name not in known:
                known.append(name)
                del known[:-_KEPT]

    def _found(self, case: "Case[Any]", caller: Caller, answer: httpx.Response, what: str) -> None:
        title = f"{case.method} {case.path}: {answer.status_code}: {what.splitlines()[0]}"
        self.findings.setdefault(
            title,
            f"{title}\n{what}\nby {caller.name}: {answer.request.url}\n"
            f"{answer.request.content[:1000]!r}\n{answer.text[:1000]}",
        )

    def _as_example(self, case: "Case[Any]", declared: Operation, caller: Caller) -> None:
        """Make it the example of the document, with what must be new made new."""
        example = declared.example
        case.path_parameters = dict(example.path)
        case.query = dict(example.query)
        if declared.uploads:
            case.media_type = declared.uploads[self.sent % len(declared.uploads)]
            case.body = _file(case.media_type, self.sent, caller)
        elif example.body is not None:
            case.body = _fresh(example.body, self.sent, caller.word)
        case.headers.clear()
        case.headers["Idempotency-Key"] = f"fuzz-{self.sent}"

    def _name(
        self,
        case: "Case[Any]",
        declared: Operation | None,
        whose: Caller,
        choose: Callable[[list[str]], str],
    ) -> None:
        """Put names of objects into path, query and body."""
        if declared is None:
            return

        def known(prefix: str | None) -> str | None:
            ids = whose.ids.get(prefix or "")
            return choose(ids) if ids else None

        for name in case.path_parameters:
            case.path_parameters[name] = known(_NAMES.get(name)) or case.path_parameters[name]
        for name in [each for each in case.query if each in _NAMES]:
            case.query[name] = known(_NAMES[name]) or case.query[name]
        body, example = case.body, declared.example.body
        if isinstance(body, dict) and isinstance(example, dict):
            for name in [each for each in body if prefix_of(example.get(each)) is not None]:
                body[name] = known(prefix_of(example[name])) or body[name]


def _play(one: Callable[[st.DataObject], None], count: int, salt: int) -> None:
    test = given(st.data())(one)
    seed(salt)(settings(parent=_settings(count))(test))()


def _settings(count: int, **others: Any) -> settings:
    return settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        **others,
    )


@schemathesis.serializer("application/x-ndjson", "text/csv", "application/xml")
def _as_it_is(_: Any, value: Any) -> bytes:
    """A file is sent as it was written."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _prepared(case: "Case[Any]") -> requests.PreparedRequest:
    kwargs = case.as_transport_kwargs(base_url="http://node")
    known = ("method", "url", "headers", "params", "cookies", "data", "json", "files")
    return requests.Request(**{name: kwargs.get(name) for name in known}).prepare()


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _may_accept(declared: Operation | None, case: "Case[Any]") -> bool:
    """Whether it is no breach: a page for people, or a file where nothing else was wrong."""
    if declared is None:
        return True
    wrong = [] if case.meta is None else case.meta.components.values()
    return bool(declared.uploads) and not any(each.mode.is_negative for each in wrong)


def _code_of(answer: httpx.Response) -> str | None:
    """The code of a problem; None: it is none."""
    if answer.headers.get("content-type") != "application/problem+json":
        return None
    return str(answer.json().get("code"))


def _fresh(body: object, number: int, word: str) -> Any:
    """An example body, its names and references made new."""
    if not isinstance(body, dict):
        return body
    made = json.loads(json.dumps(body))
    for name in ("client_reference", "reference", "name"):
        if name in made:
            made[name] = f"{made[name]} {word}-{number}"
    return made


def _file(media_type: str, number: int, caller: Caller) -> str:
    """A good file of a bulk transfer."""
    row = {
        "client_reference": f"row-{number}",
        "sell": {"currency": "EUR", "amount": "1.00"},
        "buy": {"currency": "USDC"},
        "beneficiary": {
            "name": "Bea", "country": "PH", "address": "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        },
    }  # fmt: skip
    if media_type == "application/x-ndjson":
        return json.dumps(row)
    if media_type == "text/csv":
        return (
            "client_reference,sell_currency,sell_amount,buy_currency,name,country,address\n"
            f"row-{number},EUR,1.00,USDC,Bea,PH,0x90F79bf6EB2c4f870365E785982E1f101E93b906\n"
        )
    customers = caller.ids.get("cus") or [CUSTOMER_ID]
    return message(customers[-1], Instruction(f"row-{number}", "1.00")).decode()


def _is_id(value: object) -> bool:
    return prefix_of(value) is not None


def _texts(value: object, name: str = "") -> list[str]:
    """Free texts of a body: those of members that name objects are left out."""
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in _texts(each, str(key))]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each, name)]
    is_text = isinstance(value, str | bytes) and not name.endswith("_id")
    return [str(value)] if is_text else []
