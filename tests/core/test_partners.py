"""Partners: networks of keys, limits of what is sold, what a signature must claim."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from node.core.catalog import FIAT
from node.core.errors import (
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NetworkNotAllowed,
    PartnerSuspended,
    TooManyKeys,
)
from node.core.parties import (
    Caller,
    Credential,
    Partner,
    PartnerStatus,
    Principal,
    Role,
    Scope,
)
from node.core.partners import (
    SIGNATURE_TAG,
    PartnerLimit,
    SignatureClaim,
    SignedRequest,
    check_daily_sell_max,
    check_rotation,
    check_sell_max,
    is_allowed_from,
    read_networks,
    refusal_of,
    signature_fault,
)
from node.core.throttling import Allowance, RequestClass, read_allowances
from node.core.units import Money

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
EUR = FIAT[0]
A_PARTNER = UUID(int=7)
A_KEY = UUID(int=8)


def caller(
    *scopes: Scope, networks: tuple[str, ...] = (), status: PartnerStatus = PartnerStatus.ACTIVE
) -> Caller:
    owner = Principal(
        Role.PARTNER, "backend", partner_id=A_PARTNER, scopes=frozenset(scopes) or None
    )
    return Caller(
        Credential(A_KEY, owner, NOW, None, None, networks),
        Partner(A_PARTNER, "shop", NOW, status=status),
    )


def refused(
    asking: Caller, scope: Scope, *, is_write: bool = True, address: str | None = "192.0.2.7"
) -> type[Forbidden] | None:
    found = refusal_of(asking, scope=scope, is_write=is_write, address=address)
    return None if found is None else type(found)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_without_scopes_of_its_own_may_what_its_role_may(scope: Scope) -> None:
    assert refused(caller(), scope) is None


@pytest.mark.parametrize("given", list(Scope))
@pytest.mark.parametrize("needed", list(Scope))
def test_no_scope_holds_another(given: Scope, needed: Scope) -> None:
    assert refused(caller(given), needed) is (None if given is needed else Forbidden)


def test_a_suspended_partner_may_look_and_nothing_else() -> None:
    suspended = caller(status=PartnerStatus.SUSPENDED)
    assert refused(suspended, Scope.READ, is_write=False) is None
    assert refused(suspended, Scope.PAY) is PartnerSuspended


def test_a_key_is_used_from_its_networks_only() -> None:
    bound = caller(networks=("192.0.2.0/24", "2001:db8::/32"))
    assert refused(bound, Scope.READ) is None
    assert refused(bound, Scope.READ, address="2001:db8::1") is None
    assert refused(bound, Scope.READ, address="::ffff:192.0.2.9") is None
    for address in ("198.51.100.1", "::ffff:198.51.100.1", "::1", None, "nowhere"):
        assert refused(bound, Scope.READ, address=address) is NetworkNotAllowed


def test_networks_are_read_in_one_form_and_with_nothing_beside_their_prefix() -> None:
    assert read_networks(["192.0.2.1", "192.0.2.1/32", "2001:DB8::/32"]) == (
        "192.0.2.1/32",
        "2001:db8::/32",
    )
    assert is_allowed_from((), None)
    for text in ("192.0.2.1/24", "everywhere", "", "10.0.0.0/33"):
        with pytest.raises(InvalidInput) as caught:
            read_networks(["10.0.0.0/8", text])
        assert caught.value.context["errors"] == [
            {
                "pointer": "/networks/1",
                "code": "wrong_form",
                "message": "write a network in CIDR, such as 192.0.2.0/24, without bits beside"
                " its prefix",
            }
        ]


def test_two_keys_of_a_name_work_at_once_and_not_three() -> None:
    check_rotation("backend", 1)
    with pytest.raises(TooManyKeys) as caught:
        check_rotation("backend", 2)
    assert caught.value.context == {"limit": 2}


LIMIT = PartnerLimit("EUR", sell_max=1_000, daily_sell_max=5_000)


@pytest.mark.parametrize("limit", [None, PartnerLimit("EUR")])
def test_where_no_limit_is_agreed_there_is_none(limit: PartnerLimit | None) -> None:
    check_sell_max(Money(10**12, EUR), limit)
    check_daily_sell_max(Money(10**12, EUR), limit, 10**15, NOW)


def test_one_quote_sells_up_to_the_limit_and_not_a_minor_unit_more() -> None:
    check_sell_max(Money(1_000, EUR), LIMIT)
    with pytest.raises(LimitExceeded) as caught:
        check_sell_max(Money(1_001, EUR), LIMIT)
    money = {"currency": "EUR", "amount": "10.00"}
    assert caught.value.context == {"limit": money, "remaining": money, "resets_at": None}


def test_a_day_sells_up_to_the_limit_and_says_when_it_ends() -> None:
    check_daily_sell_max(Money(1_000, EUR), LIMIT, 4_000, NOW)
    with pytest.raises(LimitExceeded) as caught:
        check_daily_sell_max(Money(1_001, EUR), LIMIT, 4_000, NOW)
    assert caught.value.context == {
        "limit": {"currency": "EUR", "amount": "50.00"},
        "remaining": {"currency": "EUR", "amount": "10.00"},
        "resets_at": "2026-11-23T00:00:00Z",
    }


def test_nothing_is_left_of_a_day_whose_limit_was_lowered_below_what_was_sold() -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_daily_sell_max(Money(1, EUR), LIMIT, 9_000, NOW)
    assert caught.value.context["remaining"] == {"currency": "EUR", "amount": "0.00"}


CREATED_S = int(NOW.timestamp())
REQUEST = SignedRequest(
    "POST",
    "node.example",
    "/v1/quotes",
    (("host", "node.example"), ("idempotency-key", "1")),
    b"{}",
)
CLAIM = SignatureClaim(
    SIGNATURE_TAG,
    "sig1",
    frozenset({'"@method"', '"@target-uri"', '"content-digest"', '"idempotency-key"'}),
    "sig_x",
    "0123456789abcdef",
    "ed25519",
    CREATED_S,
    CREATED_S + 300,
)


def test_a_signature_that_covers_what_it_must_is_worth_checking() -> None:
    assert signature_fault(REQUEST, CLAIM, NOW) is None
    parts = CLAIM.components - {'"@target-uri"'} | {'"@authority"', '"@path"', '"@query"'}
    assert signature_fault(REQUEST, replace(CLAIM, components=parts, algorithm=None), NOW) is None
    plain = replace(REQUEST, body=b"", headers=(("host", "node.example"),))
    least = frozenset({'"@method"', '"@target-uri"'})
    assert signature_fault(plain, replace(CLAIM, components=least), NOW) is None


@pytest.mark.parametrize("left_out", sorted(CLAIM.components))
def test_a_signature_that_leaves_something_out_is_refused_and_told_what(left_out: str) -> None:
    fault = signature_fault(REQUEST, replace(CLAIM, components=CLAIM.components - {left_out}), NOW)
    assert fault is not None
    assert left_out in fault or (left_out == '"@target-uri"' and '"@path"' in fault)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (replace(CLAIM, algorithm="hmac-sha256"), "ed25519"),
        (replace(CLAIM, key_id=None), "keyid"),
        (replace(CLAIM, nonce=None), "nonce"),
        (replace(CLAIM, nonce="short"), "nonce"),
        (replace(CLAIM, nonce="a b" * 8), "nonce"),
        (replace(CLAIM, created_s=None), "created"),
        (replace(CLAIM, expires_s=None), "expires"),
        (replace(CLAIM, expires_s=CREATED_S + 301), "300 s"),
        (replace(CLAIM, expires_s=CREATED_S), "300 s"),
        (replace(CLAIM, created_s=CREATED_S + 6, expires_s=CREATED_S + 60), "future"),
    ],
)
def test_a_claim_that_is_not_of_the_profile_is_refused(claim: SignatureClaim, words: str) -> None:
    fault = signature_fault(REQUEST, claim, NOW)
    assert fault is not None
    assert words in fault


def test_a_signature_ends_when_it_says() -> None:
    assert signature_fault(REQUEST, CLAIM, NOW + timedelta(seconds=299)) is None
    assert "expired" in (signature_fault(REQUEST, CLAIM, NOW + timedelta(seconds=300)) or "")


def test_allowances_are_read_as_they_are_written() -> None:
    assert read_allowances("off") == {}
    assert read_allowances("read=2/second, write=5/hour") == {
        RequestClass.READ: Allowance(2, 1),
        RequestClass.WRITE: Allowance(5, 3600),
    }
    for text in ("", "read", "read=0/minute", "read=1/day", "read=1/minute,read=2/minute", "all=1"):
        with pytest.raises(ValueError, match="must be `off`"):
            read_allowances(text)
