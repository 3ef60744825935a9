"""House rules that no linter ships. Standard library only; prints `file:line: rule: message`.

T1  no float, `/` or `round()` where money lives (durations named `..._s` may be floats)
T2  a number called fee, price, balance, timeout, ... carries its unit last: `fee_minor`, `ttl_s`
T3  a function has at most 60 lines besides its docstring, a file at most 500 (or a script made it)
T4  every module of the product is imported by the product or is a program (no dead files)
T5  no file is named for nothing: utils, helpers, common, manager, misc
T6  no TODO without an issue number, `TODO(#12)`; no FIXME, no XXX

A line that must break a rule says why: `# tidy: T1 because ...`. Exit status 1 on any finding.
Not here: what ruff, mypy and import-linter check (see pyproject.toml).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("node", "adapters", "scripts", "tests")
PRODUCT = ("node", "adapters")

MONEY = ("node/core/", "node/services/", "node/store/", "node/api/", "adapters/")
MIGRATIONS = "node/store/migrations/"  # a migration is as long as its schema, and is never changed

MADE = "node/client/"  # where a module may say that scripts/client_types.py made it
MADE_BY = "Made by `scripts/client_types.py`; not to be edited."

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500

QUANTITIES = frozenset(
    {"fee", "price", "balance", "timeout", "interval", "delay", "ttl", "age", "duration", "wait"}
)
"""A number whose name ends in one of these has lost its unit.

`amount` is not among them: in rows of the ledger and the mirror it is always the count of minor
units of the asset in the same row.
"""
QUALIFIERS = frozenset({"max", "min", "default", "limit", "total"})
"""May follow the unit, as in `fee_wei_max`."""

EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc"})

_UNFINISHED = re.compile(r"#\s*(TODO(?!\(#\d+\))|FIXME|XXX)\b")
_ESCAPE = re.compile(r"#\s*tidy:\s*(T\d) because \S")


@dataclass(frozen=True, order=True)
class Finding:
    """One breach of one rule."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        """The form editors can jump to."""
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Source:
    """One parsed file.

    Attributes:
        path: Relative to the root, with `/`.
    """

    path: str
    text: str
    tree: ast.Module = field(repr=False)

    @property
    def module(self) -> str:
        """Dotted name; a package's `__init__` has the package's name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def excused(self, finding: Finding) -> bool:
        """Whether the line itself says why it breaks the rule."""
        lines = self.text.splitlines()
        if not 0 < finding.line <= len(lines):
            return False
        return finding.rule in _ESCAPE.findall(lines[finding.line - 1])


def main() -> int:
    """Check the folders; print findings; 1 if there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="the checkout to look at (default: this one)"
    )
    findings = check(parser.parse_args().root)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def check(root: Path) -> list[Finding]:
    """Every finding in the checkout at `root`, in order of file and line."""
    sources = list(read(root))
    findings = list(dead_modules(sources))
    for source in sources:
        findings += [*inexact(source), *unitless(source), *sizes(source), *words(source)]
    by_path = {source.path: source for source in sources}
    return sorted({each for each in findings if not by_path[each.path].excused(each)})


def read(root: Path) -> Iterator[Source]:
    """Parse every Python file of the folders."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(root).as_posix()
            yield Source(name, text, ast.parse(text, filename=name))


def inexact(source: Source) -> Iterator[Finding]:
    """T1: arithmetic that is not exact, in the folders where amounts are."""
    if not source.path.startswith(MONEY):
        return
    durations = _durations(source.tree)
    for node in ast.walk(source.tree):
        if node in durations:
            continue
        fault = _inexact(node)
        if fault:
            yield Finding(source.path, getattr(node, "lineno", 1), "T1", fault)


def _inexact(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=float()):
            return "a float literal where money lives; use int minor units or Decimal"
        case ast.Name(id="float"):
            return "`float` where money lives; use int minor units or Decimal"
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str())):
            return ""  # a path
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return "`/` rounds silently; use `//` and name the direction"
        case ast.Call(func=ast.Name(id="round")):
            return "`round()` is half-even on binary digits; name the direction with `//`"
        case _:
            return ""


def _durations(tree: ast.Module) -> set[ast.AST]:
    """Everything below a value or annotation whose name ends in `_s`: seconds may be floats."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        named: list[tuple[str, ast.expr | None]]
        match node:
            case ast.keyword(arg=str(name)):
                named = [(name, node.value)]
            case ast.arg(arg=name):
                named = [(name, node.annotation)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                named = [(name, node.annotation), (name, node.value)]
            case ast.Assign(targets=[ast.Name(id=name)]):
                named = [(name, node.value)]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                named = [(name, node.returns)]
            case ast.arguments():
                named = list(_defaults(node))
            case _:
                continue
        for name, value in named:
            if value is not None and name.lower().endswith("_s"):
                found.update(ast.walk(value))
    return found


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr | None]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    given = positional[len(positional) - len(arguments.defaults) :]
    yield from ((each.arg, value) for each, value in zip(given, arguments.defaults, strict=True))
    keyword = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in keyword)


def unitless(source: Source) -> Iterator[Finding]:
    """T2: numbers that do not say what they count."""
    if not source.path.startswith(PRODUCT):
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.arg(arg=name):
                annotation = node.annotation
            case ast.AnnAssign(target=ast.Name(id=name)):
                annotation = node.annotation
            case _:
                continue
        parts = name.lower().strip("_").split("_")
        while len(parts) > 1 and parts[-1] in QUALIFIERS:
            parts.pop()
        if parts[-1] in QUANTITIES and _is_number(annotation):
            yield Finding(
                source.path, node.lineno, "T2", f"`{name}` counts what? End it in its unit"
            )


def _is_number(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Name(id="int" | "float"):
            return True
        case ast.BinOp(left=left, right=right):
            return _is_number(left) or _is_number(right)
        case _:
            return False


def sizes(source: Source) -> Iterator[Finding]:
    """T3: what is too long to be read in one go."""
    if source.path.startswith(MIGRATIONS):
        return
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX and not is_made(source):
        yield Finding(source.path, 1, "T3", f"{lines} lines; a file has {FILE_LINES_MAX} at most")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
            if lines > FUNCTION_LINES_MAX:
                message = f"`{node.name}` has {lines} lines; {FUNCTION_LINES_MAX} at most"
                yield Finding(source.path, node.lineno, "T3", message)


def is_made(source: Source) -> bool:
    """Whether a script wrote the file; a test compares what it would write."""
    return source.path.startswith(MADE) and MADE_BY in (ast.get_docstring(source.tree) or "")


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as first:
            return (first.end_lineno or first.lineno) - first.lineno + 1
        case _:
            return 0


def dead_modules(sources: list[Source]) -> Iterator[Finding]:
    """T4: modules that nothing of the product imports and nobody can run."""
    known = {source.module for source in sources}
    reached = {
        name
        for source in sources
        if not source.path.startswith("tests/")
        for name in _names(source) & known
        if name != source.module
    }
    for source in sources:
        exempt = source.path.endswith(("__init__.py", "__main__.py"))
        if exempt or not source.path.startswith(PRODUCT) or source.path.startswith(MIGRATIONS):
            continue
        if source.module not in reached and 'if __name__ == "__main__"' not in source.text:
            yield Finding(source.path, 1, "T4", "nothing imports this module; delete or use it")


def _names(source: Source) -> set[str]:
    """Every module a file may load: imports, and strings such as `"node.cli.quotes"`."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases):
                names.add(module)
                names.update(f"{module}.{alias.name}" for alias in aliases)
            case ast.Constant(value=str(text)) if text.startswith(PRODUCT):
                names.add(text.partition(":")[0])
    return names


def words(source: Source) -> Iterator[Finding]:
    """T5 and T6: names that say nothing, and work left lying about."""
    if Path(source.path).stem in EMPTY_NAMES:
        yield Finding(source.path, 1, "T5", "name the file for what it does")
    for number, line in enumerate(source.text.splitlines(), start=1):
        found = _UNFINISHED.search(line)
        if found:
            message = f"{found[1]} without an issue: write TODO(#number), or do it"
            yield Finding(source.path, number, "T6", message)


if __name__ == "__main__":
    sys.exit(main())
