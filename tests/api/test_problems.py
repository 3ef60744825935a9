"""The error table: every code once, with a status, a meaning, and a line in the documentation."""

import importlib
import pkgutil
from pathlib import Path

import httpx

import node.core
import node.services
from node.api.docs import problems_markdown
from node.api.problems import MEANING, STATUS, all_errors, headers_of, problem, status_of
from node.core.errors import NodeError, QuotingHalted, TooManyQuotes, Unavailable

PAGE = Path(__file__).parents[2] / "node" / "docs" / "problems.md"

# Callers program against these: a line may be added, never changed or taken away.
FROZEN = {
    "beneficiary_refused": 422,
    "quote_bound": 409,
    "partner_refused": 422,
    "partner_unavailable": 503,
    "address_invalid": 422,
    "amount_invalid": 422,
    "amount_out_of_range": 422,
    "body_too_large": 413,
    "bulk_file_invalid": 422,
    "cancel_too_late": 409,
    "chain_unavailable": 503,
    "client_reference_used": 409,
    "conflict": 409,
    "contract_registered": 409,
    "credit_line_used": 422,
    "key_already_created": 409,
    "limit_exceeded": 422,
    "network_not_allowed": 403,
    "partner_suspended": 403,
    "rate_limited": 429,
    "signature_invalid": 401,
    "signature_replayed": 401,
    "signature_required": 401,
    "too_many_keys": 409,
    "credential_invalid": 401,
    "credential_missing": 401,
    "currency_unknown": 422,
    "cursor_invalid": 422,
    "deposits_not_offered": 422,
    "database_unavailable": 503,
    "exposure_limit_reached": 503,
    "format_unfit": 422,
    "idempotency_in_progress": 409,
    "idempotency_key_invalid": 400,
    "idempotency_key_missing": 400,
    "idempotency_key_reused": 422,
    "in_future": 422,
    "insufficient_funds": 422,
    "internal": 500,
    "invalid_body": 422,
    "invalid_query": 422,
    "json_invalid": 400,
    "liquidity_unavailable": 503,
    "malformed": 400,
    "method_not_allowed": 405,
    "name_taken": 409,
    "not_found": 404,
    "not_ready": 503,
    "number_used": 409,
    "overloaded": 503,
    "pair_not_offered": 422,
    "payouts_not_offered": 422,
    "payouts_not_together": 422,
    "path_unknown": 404,
    "period_invalid": 422,
    "posting_key_reused": 422,
    "quote_expired": 409,
    "quote_revoked": 409,
    "quote_used": 409,
    "quoting_halted": 503,
    "rail_unknown": 422,
    "rate_unavailable": 503,
    "reference_used": 409,
    "refused": 422,
    "scope_missing": 403,
    "request_reference_used": 409,
    "second_person_needed": 409,
    "settlement_recovering": 503,
    "signer_unavailable": 503,
    "statement_invalid": 422,
    "statement_too_large": 422,
    "statement_unfit": 422,
    "token_already_created": 409,
    "too_many_bulk_transfers": 429,
    "too_many_payment_requests": 429,
    "too_many_quotes": 429,
    "too_many_requests": 429,
    "unavailable": 503,
    "secret_already_shown": 409,
    "too_many_webhook_endpoints": 429,
    "webhook_unverified": 401,
    "webhook_url_refused": 422,
    "webhooks_not_offered": 503,
    "wrong_state": 409,
}


def errors_that_reach_callers() -> list[type[NodeError]]:
    """Errors of core, services and the edge itself; settings stop the program before."""
    for package in (node.core, node.services):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    homes = ("node.core.", "node.services.", "node.api.")
    return [each for each in all_errors() if each.__module__.startswith(homes)]


def test_every_code_belongs_to_one_error() -> None:
    """An error without a code of its own is, to callers, the one it is a kind of."""
    codes = [each.code for each in errors_that_reach_callers() if "code" in vars(each)]
    assert sorted(codes) == sorted(set(codes))


def test_every_code_keeps_its_name_and_status() -> None:
    now = {each.code: status_of(each) for each in errors_that_reach_callers()}
    assert now == FROZEN


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    assert set(MEANING) == {each.code for each in errors_that_reach_callers()}


def test_the_page_of_codes_is_the_one_the_node_serves() -> None:
    assert PAGE.read_text() == problems_markdown()


def test_every_family_has_a_status() -> None:
    assert NodeError in STATUS
    assert all(status_of(each) >= 400 for each in errors_that_reach_callers())


def test_what_a_code_promises_is_in_the_document_and_cannot_overwrite_it() -> None:
    error = TooManyQuotes("too many", limit=3, remaining=0, status=200)
    body = problem(error, path="/v1/quotes", request_id="r").body
    assert b'"limit":3' in body
    assert b'"status":429' in body
    assert b'"status":200' not in body


def test_what_may_work_later_says_when() -> None:
    assert headers_of(Unavailable("away"))["Retry-After"] == "1"
    assert headers_of(Unavailable("away", retry_after_s=5))["Retry-After"] == "5"
    assert headers_of(QuotingHalted("until a person resumes"))["Retry-After"] == "30"


async def test_the_instance_is_a_uri_reference_whatever_the_path_holds(
    client: httpx.AsyncClient,
) -> None:
    """RFC 9457 3.1.5; of a path it is the encoded form."""
    answer = await client.get("/v1/quotes/%C3%9E%1B%3E%20%FF")
    assert (answer.status_code, answer.json()["code"]) == (401, "credential_missing")
    assert answer.json()["instance"] == "/v1/quotes/%C3%9E%1B%3E%20%EF%BF%BD"
