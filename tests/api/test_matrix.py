"""Every operation with every key that is wrong for it: the answers are those that are declared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from node.api.operations import Operation
from node.api.routes import OPERATIONS
from node.core.parties import Role, Scope
from tests.api.conftest import RealNode

ASKED = [each for each in OPERATIONS if each.who is not None]
ALL = [each.value for each in Scope]


@dataclass
class Keys:
    """Keys of one partner, each wrong in one way; what a stranger must not see."""

    node: RealNode
    expired: str
    revoked: str
    elsewhere: str
    suspended: str
    without: dict[Scope, str]
    ids: dict[str, str]

    async def ask(
        self, operation: Operation, secret: str | None, ids: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send the example of an operation with a key."""
        path = operation.path.format(**{**operation.example.path, **(ids or {})})
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        headers["Idempotency-Key"] = "matrix"
        if operation.uploads:
            headers["Content-Type"] = operation.uploads[0]
        return await self.node.client.request(
            operation.method,
            path,
            headers=headers,
            params=operation.example.query,
            json=None if operation.uploads else operation.example.body,
            content=b"<Document/>" if operation.uploads else None,
        )


def _as(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def _made(node: RealNode, partner_id: str, **body: Any) -> dict[str, str]:
    body = {"scopes": ALL, **body}
    answer = await node.client.post(
        f"/v1/partners/{partner_id}/keys", headers=_as(node.operator), json=body
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, str] = answer.json()
    return found


@pytest.fixture
async def keys(real_app: RealNode, database_url: str) -> Keys:
    node, client = real_app, real_app.client
    expired = await _made(node, node.partner_id, name="expired", expires_in_s=60)
    raw = await asyncpg.connect(database_url)
    await raw.execute("UPDATE credential SET expires_at = now() WHERE name = 'expired'")
    await raw.close()
    revoked = await _made(node, node.partner_id, name="revoked")
    await client.post(f"/v1/keys/{revoked['id']}/revoke", headers=_as(node.operator))
    elsewhere = await _made(node, node.partner_id, name="far", networks=["192.0.2.0/24"])
    without = {
        scope: await _made(
            node,
            node.partner_id,
            name=f"not {scope.value}",
            scopes=[each for each in ALL if each != scope.value],
        )
        for scope in Scope
    }
    body = {"name": "idle", "country": "DE"}
    idle = (await client.post("/v1/partners", headers=_as(node.operator), json=body)).json()["id"]
    suspended = await _made(node, idle, name="idle")
    await client.post(
        f"/v1/partners/{idle}/terms", headers=_as(node.operator), json={"status": "suspended"}
    )
    signing = await client.post(
        f"/v1/partners/{node.partner_id}/signing-keys",
        headers=_as(node.operator),
        json={"name": "signer", "public_key": "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="},
    )
    return Keys(
        node,
        expired["token"],
        revoked["token"],
        elsewhere["token"],
        suspended["token"],
        {scope: each["token"] for scope, each in without.items()},
        {
            "customer_id": node.customer_id,
            "partner_id": node.partner_id,
            "key_id": elsewhere["id"],
            "signing_key_id": signing.json()["id"],
        },
    )


def _differs(operation: Operation, answer: httpx.Response, status: int, code: str) -> str | None:
    found = answer.json().get("code") if answer.status_code != httpx.codes.OK else None
    if (answer.status_code, found) == (status, code):
        return None
    return f"{operation.method} {operation.path}: {answer.status_code} {found}, not {status} {code}"


def _of_partners() -> Iterator[Operation]:
    return (each for each in ASKED if Role.PARTNER in (each.who or ()))


async def test_without_a_good_key_nothing_is_answered(keys: Keys) -> None:
    found = []
    for operation in ASKED:
        for secret, code in (
            (None, "credential_missing"),
            ("nobody's", "credential_invalid"),
            (keys.expired, "credential_invalid"),
            (keys.revoked, "credential_invalid"),
        ):
            answer = await keys.ask(operation, secret)
            found.append(_differs(operation, answer, 401, code))
            assert "www-authenticate" in answer.headers
    assert [each for each in found if each] == []


async def test_a_partner_may_only_what_its_role_its_scopes_and_its_network_allow(
    keys: Keys,
) -> None:
    found = []
    for operation in ASKED:
        if Role.PARTNER not in (operation.who or ()):
            answer = await keys.ask(operation, keys.node.partner)
            found.append(_differs(operation, answer, 403, "scope_missing"))
            continue
        answer = await keys.ask(operation, keys.without[operation.scope])
        found.append(_differs(operation, answer, 403, "scope_missing"))
        assert answer.json()["scope"] == operation.scope.value
        answer = await keys.ask(operation, keys.elsewhere)
        found.append(_differs(operation, answer, 403, "network_not_allowed"))
    assert [each for each in found if each] == []


async def test_a_suspended_partner_looks_and_changes_nothing(keys: Keys) -> None:
    found = []
    for operation in _of_partners():
        answer = await keys.ask(operation, keys.suspended)
        if operation.method == "GET":
            assert answer.status_code in (200, 404, 422, 503), (operation.path, answer.text)
        else:
            found.append(_differs(operation, answer, 403, "partner_suspended"))
    assert [each for each in found if each] == []


async def test_what_is_anothers_does_not_exist(keys: Keys) -> None:
    """The stranger's key is good and may do everything; what is named is another partner's."""
    found = []
    for operation in _of_partners():
        if not operation.example.path:
            continue
        answer = await keys.ask(operation, keys.node.stranger, keys.ids)
        if not str(answer.json().get("code", "")).endswith("_not_offered"):
            found.append(_differs(operation, answer, 404, "not_found"))
    assert [each for each in found if each] == []


async def test_a_customers_key_is_not_a_partners(keys: Keys) -> None:
    found = []
    for operation in ASKED:
        if Role.REMITTER not in (operation.who or ()):
            answer = await keys.ask(operation, keys.node.remitter)
            found.append(_differs(operation, answer, 403, "scope_missing"))
    assert [each for each in found if each] == []
