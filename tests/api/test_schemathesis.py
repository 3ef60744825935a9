"""Requests made of the OpenAPI document, by two partners, an operator and nobody."""

from pathlib import Path

from tests.api.fuzzed_node import open_fuzzed

SEED = 1
EXAMPLES = 8
NEVER_DONE_MAX = 24  # of 64 operations of partners; the chain is away


async def test_no_request_finds_an_answer_that_the_document_does_not_have(
    database_url: str, tmp_path: Path
) -> None:
    """A short run; `scripts/fuzz_api.py` makes long ones."""
    async with open_fuzzed(tmp_path, database_url) as opened:
        await opened.play(SEED, EXAMPLES)
        fuzz = opened.fuzz
    assert "\n\n".join(fuzz.findings.values()) == ""
    assert len(opened.never_done()) <= NEVER_DONE_MAX
