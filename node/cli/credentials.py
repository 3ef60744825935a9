"""`corridor keys`: credentials of operators, partners and remitters.

They are made in the database directly, so that a node without any key can get its first. The
token is printed once; its members are named as in `POST /v1/customers/{id}/tokens`. Not here: what
a role may see (`node.core.parties`).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from node.cli.console import columns, next_steps, pairs, print_json, stdout
from node.cli.faults import Fault, Status
from node.cli.installation import with_books
from node.core.ids import Prefix, encode_id
from node.core.parties import Credential, Principal, Role, Scope

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.bootstrap.books import Books
    from node.services.parties import NewSecret

_BY_HAND: Final = Principal(Role.OPERATOR, "command line")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([dhs])")
_UNITS_S: Final = {"d": 86_400, "h": 3600, "s": 1}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credential as the command line asks for it; None: not said.

    Attributes:
        name: Of the operator or the partner; id of the customer.
        label: Name of a partner's key.
        scopes: Separated by commas; `networks` as well.
        expires: `90d`, `12h` or `3600s`.
    """

    role: str
    name: str
    label: str | None = None
    scopes: str | None = None
    expires: str | None = None
    networks: str | None = None


def create(state_dir: Path, wanted: Wanted, *, as_json: bool) -> None:
    """Make a credential for an operator, a partner or a customer.

    Raises:
        Fault: There is no such role, scope or time, or two keys of this name work.
    """
    role, name = _role(wanted.role), wanted.name
    scopes, expires_in_s = _scopes(wanted.scopes), seconds(wanted.expires)
    networks = [each.strip() for each in (wanted.networks or "").split(",") if each.strip()]
    if role is not Role.PARTNER and (wanted.scopes or wanted.label):
        raise Fault(
            f"a key of a {role.value} has neither name nor scopes of its own",
            remedy="leave --name and --scopes out",
            status=Status.USAGE,
        )
    if role is Role.REMITTER and (wanted.expires or networks):
        raise Fault(
            "a remitter's token has neither end nor networks",
            remedy="leave --expires and --networks out",
            status=Status.USAGE,
        )

    async def work(books: "Books") -> "NewSecret":
        if role is Role.REMITTER:
            return await books.parties.create_token(_BY_HAND, name)
        owner = Principal(Role.OPERATOR, name)
        if role is Role.PARTNER:
            partner = await books.parties.create_partner(name)
            label = wanted.label or name
            owner = Principal(Role.PARTNER, label, partner_id=partner.id, scopes=scopes)
        return await books.parties.create_key(owner, expires_in_s=expires_in_s, networks=networks)

    _print_new(with_books(state_dir, work), as_json=as_json)


def rotate(state_dir: Path, key_id: str, expires: str | None, *, as_json: bool) -> None:
    """Make another key with the terms of this one.

    Raises:
        Fault: There is no such key of a partner, or two of its name work.
    """
    expires_in_s = seconds(expires)

    async def work(books: "Books") -> "NewSecret":
        return await books.partner_keys.rotate(key_id, expires_in_s)

    _print_new(with_books(state_dir, work), as_json=as_json)


def seconds(text: str | None) -> int | None:
    """Seconds of `90d`, `12h` or `3600s`.

    Raises:
        Fault: It is not written so.
    """
    if text is None:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Fault(f"{text!r} is no time", remedy="write 90d, 12h or 3600s", status=Status.USAGE)
    return int(match[1]) * _UNITS_S[match[2]]


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise Fault(
            f"there is no role {text!r}",
            remedy="say operator, partner or remitter",
            status=Status.USAGE,
        ) from None


def _scopes(text: str | None) -> frozenset[Scope] | None:
    if text is None:
        return None
    try:
        return frozenset(Scope(each.strip()) for each in text.split(","))
    except ValueError:
        raise Fault(
            f"{text!r} are no scopes",
            remedy=f"write some of {','.join(Scope)}",
            status=Status.USAGE,
        ) from None


def _print_new(made: "NewSecret", *, as_json: bool) -> None:
    if as_json:
        print_json({**_document(made.credential), "token": made.secret})
        return
    stdout().print(
        pairs([*_rows(made.credential), ("token", f"[bold]{escape(made.secret)}[/]")]),
        soft_wrap=True,
    )
    next_steps(
        ("export CORRIDOR_TOKEN=...", "keep the token: the node stores only its SHA-256"),
    )


def show(state_dir: Path, *, as_json: bool) -> None:
    """List every credential, newest first. Whose it is exactly is in the JSON."""

    async def work(books: "Books") -> list[Credential]:
        return list(await books.parties.keys())

    found = [_document(each) for each in with_books(state_dir, work)]
    if as_json:
        print_json({"data": found})
        return
    table = columns("key", "role", "name", "made", "")
    for each in found:
        state = "[red]revoked[/]" if each["revoked_at"] else "[green]works[/]"
        if each["expires_at"] and not each["revoked_at"]:
            state = f"until {each['expires_at']}"
        made_on = (each["created_at"] or "").partition("T")[0]
        told = (each["key_id"], each["role"], each["name"], made_on)
        table.add_row(*(escape(text or "") for text in told), state)
    stdout().print(table)


def revoke(state_dir: Path, key_id: str, *, as_json: bool) -> None:
    """End a credential for good."""

    async def work(books: "Books") -> None:
        await books.parties.revoke_key(key_id)

    with_books(state_dir, work)
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        stdout().print(f"{escape(key_id)} is revoked; within a second no process accepts it.")


def _document(credential: Credential) -> dict[str, str | None]:
    principal = credential.principal
    owner = None
    if principal.partner_id is not None:
        owner = encode_id(Prefix.PARTNER, principal.partner_id)
    elif principal.customer_id is not None:
        owner = encode_id(Prefix.CUSTOMER, principal.customer_id)
    scopes = None if principal.scopes is None else ",".join(sorted(principal.scopes))
    moments = {
        "created_at": credential.created_at,
        "expires_at": credential.expires_at,
        "revoked_at": credential.revoked_at,
    }
    return {
        "key_id": encode_id(Prefix.KEY, credential.id),
        "role": principal.role.value,
        "name": principal.name,
        "owner": owner,
        "scopes": scopes,
        "networks": ",".join(credential.networks) or None,
        **{name: f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None for name, at in moments.items()},
    }


def _rows(credential: Credential) -> list[tuple[str, str]]:
    told = _document(credential)
    names = ("role", "name", "owner", "scopes", "networks", "expires_at")
    rows = [("key", escape(told["key_id"] or ""))]
    labels = {"expires_at": "until"}
    rows += [(labels.get(name, name), escape(told[name] or "")) for name in names if told[name]]
    return rows
