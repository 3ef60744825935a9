"""`corridor keys`: credentials of operators, partners and remitters.

They are made in the database directly, so that a node without any key can get its first. The
token is printed once; its members are named as in `POST /v1/customers/{id}/tokens`. Not here: what
a role may see (`node.core.parties`).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from node.cli.console import columns, next_steps, pairs, print_json, stdout
from node.cli.faults import Fault, Status
from node.cli.installation import with_books
from node.core.ids import Prefix, encode_id
from node.core.parties import Credential, Principal, Role

if TYPE_CHECKING:  # a command loads the node only when it runs
    from node.bootstrap import Books
    from node.services.parties import NewSecret

_BY_HAND = Principal(Role.OPERATOR, "command line")


def create(state_dir: Path, role: str, name: str, *, as_json: bool) -> None:
    """Make a credential for an operator, a partner or a customer."""
    try:
        wanted = Role(role)
    except ValueError:
        raise Fault(
            f"there is no role {role!r}",
            remedy="say operator, partner or remitter",
            status=Status.USAGE,
        ) from None

    async def work(books: "Books") -> "NewSecret":
        match wanted:
            case Role.REMITTER:
                return await books.parties.create_token(_BY_HAND, name)
            case Role.PARTNER:
                partner = await books.parties.create_partner(name)
                principal = Principal(Role.PARTNER, name, partner_id=partner.id)
                return await books.parties.create_key(principal)
            case Role.OPERATOR:
                return await books.parties.create_key(Principal(Role.OPERATOR, name))

    made = with_books(state_dir, work)
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
        **{name: f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None for name, at in moments.items()},
    }


def _rows(credential: Credential) -> list[tuple[str, str]]:
    told = _document(credential)
    names = {"key_id": "key", "role": "role", "name": "name", "owner": "owner"}
    return [(label, escape(told[name] or "")) for name, label in names.items() if told[name]]
