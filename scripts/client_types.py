"""Writes the generated modules of the Python client anew: `python -m scripts.client_types`.

    bodies.py        TypedDicts of what is sent
    answers.py       TypedDicts of what is answered
    problems.py      one class for each code of a problem
    operations.py, async_operations.py    one method for each operation

All are in node/client.
`--check` writes nothing and ends with status 1 where one of them is not what it would be. Made of
the OpenAPI document, with the operations that others than operators may use.
"""

import argparse
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from node.api.openapi import document, errors_of
from node.api.operations import OPERATORS, KeyRule, Operation
from node.api.problems import MEANING
from node.api.routes import OPERATIONS
from node.core.errors import NodeError

ROOT: Final = Path(__file__).resolve().parents[1]
HOME: Final = Path("node/client")
_NOT_ASKED: Final = frozenset({"hear_partner"})  # a node of a partner sends these
_GENERIC: Final = re.compile(r"^(\w+?View)_(\w+)_$")
_PLAIN: Final = {
    "string": "str", "integer": "int", "boolean": "bool", "null": "None", "any": "Any",
}  # fmt: skip
_WIDTH: Final = 100
_BY: Final = "Made by `scripts/client_types.py`; not to be edited."


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    checks_only = parser.parse_args().check
    stale = []
    for path, text in modules().items():
        file = ROOT / path
        if file.exists() and file.read_text() == text:
            continue
        stale.append(path)
        if not checks_only:
            file.write_text(text)
    for path in stale:
        print(f"{path} {'is not up to date' if checks_only else 'written'}")
    return 1 if checks_only and stale else 0


def modules() -> dict[Path, str]:
    """Each module and its text, as it must be."""
    asked = [
        each
        for each in OPERATIONS
        if each.who != OPERATORS and each.handler.__name__ not in _NOT_ASKED
    ]
    described = document(asked)
    types = Types(described["components"]["schemas"])
    made = {
        "operations": _methods(asked, described, types, is_async=False),
        "async_operations": _methods(asked, described, types, is_async=True),
    }
    made["bodies"] = types.module("What is sent to a node, as TypedDicts.", bodies=True)
    made["answers"] = types.module("What a node answers, as TypedDicts.", bodies=False)
    made["problems"] = _problems({error for each in asked for error in errors_of(each)})
    return {HOME / f"{name}.py": _formatted(text) for name, text in made.items()}


def _formatted(text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [ruff, *arguments, "--stdin-filename", HOME / "made.py", "-"],
            cwd=ROOT, input=text, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    return text


# --------------------------------------------------------------------------------------- types


class Types:
    """Schemas of the document as Python types; those that were asked for, and what they need."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._used: dict[str, dict[str, str]] = {"bodies": {}, "answers": {}}
        self._generic: set[str] = set()

    def of(self, schema: Mapping[str, Any], side: str) -> str:
        """A schema as an annotation; `side` is the module it is for: bodies or answers."""
        if "$ref" in schema:
            return self._named(schema["$ref"].rpartition("/")[2], side)
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.of(each, side) for each in schema["anyOf"]))
        if values := schema.get("enum", [schema[each] for each in ("const",) if each in schema]):
            return f"Literal[{', '.join(map(repr, values))}]"
        kind = schema.get("type", "any")
        if kind == "array":
            return f"list[{self.of(schema.get('items', {}), side)}]"
        if kind == "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {self.of(values, side) if isinstance(values, dict) else 'Any'}]"
        return _PLAIN[kind]

    def _named(self, name: str, side: str) -> str:
        if generic := _GENERIC.match(name):
            family, of = generic.groups()
            item = self._named(of, side)
            if family not in self._generic:
                self._generic.add(family)
                self._used[side][family] = self._typed_dict(name, side, family)
            return f"{family}[{item}]"
        schema = self._schemas[name]
        if schema.get("type") != "object" or "properties" not in schema:
            return self.of(schema, side)
        short = _short(name)
        if short not in self._used[side]:
            text = self._typed_dict(name, side, None)
            self._used[side][short] = text  # after what it needs
        return short

    def _typed_dict(self, name: str, side: str, family: str | None) -> str:
        schema = self._schemas[name]
        needed = schema.get("required", ())
        members = {}
        for member, value in schema["properties"].items():
            kind = self.of(value, side)
            if family is not None and member == "data":
                kind = "list[T]"
            members[member] = kind if member in needed else f"NotRequired[{kind}]"
        described = _docstring(schema.get("description", ""), 4)
        title = family or _short(name)
        if any(keyword.iskeyword(each) for each in members):
            inner = ", ".join(f"{each!r}: {kind}" for each, kind in members.items())
            return f'{title} = TypedDict("{title}", {{{inner}}})\n{_docstring_at(described, 0)}'
        bases = "TypedDict, Generic[T]" if family else "TypedDict"
        lines = [f"    {each}: {kind}" for each, kind in members.items()]
        return "\n".join([f"class {title}({bases}):", described, "", *lines])

    def module(self, about: str, *, bodies: bool) -> str:
        """All of one side."""
        side = "bodies" if bodies else "answers"
        text = "\n\n\n".join(self._used[side].values())
        names = [each for each in ("Any", "Generic", "Literal", "NotRequired") if each in text]
        names += ["TypedDict", *(["TypeVar"] if self._generic and not bodies else [])]
        variable = '\nT = TypeVar("T")\n' if self._generic and not bodies else ""
        imports = f"from typing import {', '.join(names)}"
        return f'"""{about}\n\n{_BY}\n"""\n\n{imports}\n{variable}\n{text}\n'

    def item_after(self, schema: Mapping[str, Any]) -> str | None:
        """What a list read with `after` is of; None: it is none."""
        members = self._schemas[schema["$ref"].rpartition("/")[2]]["properties"]
        if "next_after" not in members:
            return None
        return self.of(members["data"]["items"], "answers")

    def names(self, side: str) -> Iterable[str]:
        """Of the types of a side."""
        return self._used[side]


def _short(name: str) -> str:
    """`node__api__webhook_views__AttemptDocument` is WebhookAttemptDocument."""
    *_, module, own = name.split("__") if "__" in name else ("", "", name)
    about = module.removesuffix("views").rstrip("_")
    return "".join(each.title() for each in about.split("_") if each) + own


def _docstring(text: str, indent: int) -> str:
    text = text.strip().replace("\\", "\\\\")
    lines = text.splitlines() or [""]
    pad = " " * indent
    if len(lines) == 1 and len(lines[0]) + 6 + indent <= _WIDTH:
        return f'{pad}"""{lines[0]}"""'
    first, *rest = lines
    return "\n".join(
        [f'{pad}"""{first}', *(f"{pad}{each}" if each else "" for each in rest), f'{pad}"""']
    )


def _docstring_at(text: str, indent: int) -> str:
    return textwrap.indent(textwrap.dedent(text), " " * indent)


# -------------------------------------------------------------------------------------- problems


def _problems(errors: set[type[NodeError]]) -> str:
    """Classes that stand to each other as the node's own do."""
    made: dict[str, str] = {}
    for error in sorted(errors, key=lambda each: each.__name__):
        for each in _line(error):
            if each.__name__ not in made:
                above = _line(each)[-2].__name__ if len(_line(each)) > 1 else "Problem"
                made[each.__name__] = _problem(each, above)
    return (
        f'"""Problems that a node answers, by their code.\n\n{_BY}\n"""\n\n'
        "from node.client.errors import Problem\n\n\n" + "\n\n\n".join(made.values()) + "\n"
    )


def _line(error: type[NodeError]) -> list[type[NodeError]]:
    """From the family down to the error."""
    return [
        each
        for each in reversed(error.__mro__)
        if issubclass(each, NodeError) and each is not NodeError
    ]


def _problem(error: type[NodeError], above: str) -> str:
    meaning = textwrap.wrap(MEANING[error.code], _WIDTH - 4)
    described = _docstring("\n".join([f"{error.title}.", "", *meaning]), 4)
    return f'class {error.__name__}({above}):\n{described}\n\n    code = "{error.code}"'


# ------------------------------------------------------------------------------------ operations


def _methods(
    asked: list[Operation], described: Mapping[str, Any], types: Types, *, is_async: bool
) -> str:
    methods = [
        _method(each, described["paths"][each.path][each.method.lower()], types, is_async=is_async)
        for each in asked
        if not each.uploads
    ]
    text = "\n\n".join(methods)
    name, base = ("AsyncOperations", "AsyncAsking") if is_async else ("Operations", "Asking")
    about = ", to be awaited" if is_async else ""
    imports = [
        f"from collections.abc import {'AsyncIterator' if is_async else 'Iterator'}",
        "from typing import Any, Literal",
        f"from node.client.asking import {base}",
        "from node.client.calls import Call, in_path, new_key",
    ]
    for side in ("answers", "bodies"):
        found = sorted(each for each in types.names(side) if re.search(rf"\b{each}\b", text))
        imports.append(f"from node.client.{side} import {', '.join(found)}")
    if "Any" not in text:
        imports[1] = "from typing import Literal"
    return (
        f'"""The operations of a node, one method each{about}.\n\n{_BY}\n"""\n\n'
        + "\n".join(imports)
        + f'\n\n\nclass {name}({base}):\n    """See the OpenAPI document of the node."""\n\n'
        + text
        + "\n"
    )


def _method(
    operation: Operation, described: Mapping[str, Any], types: Types, *, is_async: bool
) -> str:
    names = re.findall(r"{(\w+)}", operation.path)
    place = re.sub(r"{(\w+)}", r"{in_path(\1)}", operation.path)
    path = f'f"{place}"' if names else f'"{place}"'
    content = described["responses"][str(operation.status)]["content"]
    answer = types.of(content["application/json"]["schema"], "answers")
    parameters = ["self", *(f"{each}: str" for each in names)]
    given = [f'"{operation.method}"', path]
    item = None
    if operation.method == "GET":
        item = _item(answer, content["application/json"]["schema"], types)
    if operation.method == "POST":
        _add_body(operation, described, types, parameters, given)
    elif query := dict(_query(described, types)):
        parameters += [
            "*",
            *(f"{_safe(each)}: {kind} | None = None" for each, kind in query.items()),
        ]
        given.append(f"query={{{', '.join(f'{each!r}: {_safe(each)}' for each in query)}}}")
    if item is not None:
        returns = f"{'AsyncIterator' if is_async else 'Iterator'}[{item}]"
        start, ask, kind = "def", "self.pages", item
    else:
        returns, kind = answer, answer
        start, ask = ("async def", "await self.ask") if is_async else ("def", "self.ask")
    summary = described["summary"]
    return (
        f"    {start} {operation.handler.__name__}({', '.join(parameters)}) -> {returns}:\n"
        f'        """{summary}."""\n'
        f"        return {ask}(Call[{kind}]({', '.join(given)}))\n"
    )


def _add_body(
    operation: Operation,
    described: Mapping[str, Any],
    types: Types,
    parameters: list[str],
    given: list[str],
) -> None:
    body = described["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    if not schema["$ref"].endswith("/EmptyBody"):
        kind = types.of(schema, "bodies")
        parameters.append(f"body: {kind}" if body["required"] else f"body: {kind} | None = None")
        given.append("body=body" if body["required"] else "body=body or {}")
    else:
        given.append("body={}")
    if operation.key is KeyRule.UNUSED:
        given.append("is_harmless=True")
    else:
        parameters += ["*", "key: str | None = None"]
        given.append("key=key or new_key()")


def _query(described: Mapping[str, Any], types: Types) -> Iterator[tuple[str, str]]:
    """Parameters that a method has: not the cursor, which is followed, nor a file's format."""
    for each in described.get("parameters", ()):
        if each["in"] == "query" and each["name"] not in ("cursor", "format"):
            yield each["name"], types.of(each["schema"], "bodies")


def _item(answer: str, schema: Mapping[str, Any], types: Types) -> str | None:
    """Of what a list is; None: it is no list that is read page by page."""
    generic = re.match(r"^(?:PageView|ListView)\[(\w+)\]$", answer)
    if generic:
        return generic[1]
    return types.item_after(schema)


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


if __name__ == "__main__":
    sys.exit(main())
