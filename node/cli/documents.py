"""Documents of the node in the format asked for: shown as a table, printed, or written to a file.

One meaning of `--format`, `--json`, `--output` and `--force` for every command that has them. Not
here: what a document holds and what its table looks like.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.markup import escape

from node.cli.client import Json, NodeClient
from node.cli.console import print_json, stderr
from node.cli.exporting import partial_file
from node.cli.faults import Fault, Status

_TABLE: Final = "table"
_JSON: Final = "json"


@dataclass(frozen=True, slots=True)
class Document:
    """What is asked of the node.

    Attributes:
        path: Where it is.
        query: Parameters, besides the format.
        files: Formats the node has it in, besides JSON.
        timeout_s: How long the node may take to make it.
    """

    path: str
    query: Mapping[str, str]
    files: Sequence[str]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How to tell, as the command line says it.

    Attributes:
        form: `--format`; None: not given.
        as_json: `--json`, which is `--format json`.
        output: The file to write; None: print.
        force: Replace the file if it exists.
    """

    form: str | None
    as_json: bool
    output: Path | None
    force: bool


def given(**parameters: str | int | None) -> dict[str, str]:
    """The parameters that were given, as the node's; a trailing `_` of a name is not part of it."""
    return {name.rstrip("_"): str(value) for name, value in parameters.items() if value is not None}


def form_of(document: Document, manner: Manner) -> str:
    """The format: `table`, `json` or one of the document's.

    Raises:
        Fault: There is no such format, or what is given contradicts itself.
    """
    forms = (_TABLE, _JSON, *document.files)
    form = manner.form or (_JSON if manner.as_json else _TABLE)
    fault, remedy = "", ""
    if form not in forms:
        fault, remedy = f"there is no format {form!r}", f"--format is one of {', '.join(forms)}"
    elif manner.as_json and form != _JSON:
        fault, remedy = f"--json and --format {form} exclude each other", "leave one of them out"
    elif manner.output is not None and form == _TABLE:
        fault = "a table is for the terminal"
        remedy = f"with --output, add --format {' or '.join(forms[1:])}"
    elif manner.force and manner.output is None:
        fault, remedy = "--force is for --output", "name the file, or leave --force out"
    if fault:
        raise Fault(fault, remedy=remedy, status=Status.USAGE)
    return form


def tell(
    client: NodeClient,
    document: Document,
    form: str,
    manner: Manner,
    show: Callable[[Json], None],
) -> None:
    """Show a document, print it, or write it to a file that appears only whole.

    Args:
        client: The node.
        document: What is asked of it.
        form: See `form_of`.
        manner: Where it goes.
        show: Prints the table.

    Raises:
        Fault: The node declines or does not answer, or the file cannot be written.
    """
    if manner.output is not None:
        with partial_file(manner.output, force=manner.force) as file:
            file.write(_content(client, document, form))
            file.keep()
        stderr().print(f"written: {escape(str(manner.output))}", soft_wrap=True)
    elif form in document.files:
        typer.echo(_content(client, document, form), nl=False)
    else:
        (print_json if form == _JSON else show)(_told(client, document))


def _told(client: NodeClient, document: Document) -> Json:
    return client.get(document.path, timeout_s=document.timeout_s, **document.query)


def _content(client: NodeClient, document: Document, form: str) -> bytes:
    if form == _JSON:
        return json.dumps(_told(client, document), ensure_ascii=False).encode() + b"\n"
    return client.get_file(
        document.path, timeout_s=document.timeout_s, format=form, **document.query
    )
