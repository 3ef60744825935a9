"""A story says what the break says, in whole sentences, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from node.core.breaks import BreakCode, break_of
from node.core.stories import in_whole_units, story
from tests.builders import CATALOG

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """A break."""

    code: str
    fingerprint: str = "B00:x"
    summary: str = "something differs"
    expected: str = "5"
    actual: str = "4"
    evidence: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""
    next_action: str = "look at it"
    first_seen_at: datetime = NOON
    resolved_at: datetime | None = None
    resolution: Mapping[str, str] | None = None


@pytest.mark.parametrize("code", list(BreakCode))
def test_every_code_has_a_story_of_whole_plain_sentences(code: BreakCode) -> None:
    made = break_of(code, "subject", expected="five", actual="four", evidence={"log_index": "3"})
    sentences = story(
        Told(code.value, made.fingerprint, made.summary, "five", "four", made.evidence,
             next_action=made.next_action)
    )  # fmt: skip
    assert len(sentences) >= 3
    for each in sentences:
        assert each[0].isupper()
        assert each.endswith(".")
        assert not set("{}*`#<>") & set(each)
    assert sentences[-1] == f"What to do: {made.next_action}."


def test_only_a_code_that_has_a_cause_says_that_it_is_not_known() -> None:
    unknown = "Its cause is not known yet."
    assert unknown in story(Told("B06"))
    assert unknown not in story(Told("B27"))
    assert unknown not in story(Told("B06", resolved_at=NOON, resolution={"kind": "match"}))


def test_a_story_about_the_bank_says_how_much_when_and_with_which_reference() -> None:
    evidence = {"amount": "55.00 EUR", "booked_on": "2026-11-23", "reference": "REF77"}
    (first, *_) = story(Told("B27", evidence=evidence))
    assert "a line of 55.00 EUR booked on 2026-11-23 with the reference REF77 that" in first
    (first, *_) = story(Told("B27", evidence={**evidence, "reference": ""}))
    assert "without a reference" in first
    left = {
        "lines_unmatched": "7.00 USD",
        "ledger_unmatched": "0.00 USD",
        "unexplained": "1.00 USD",
    }
    assert any("come to 7.00 USD" in each for each in story(Told("B29", evidence=left)))


def test_what_nobody_has_to_do_anything_about_is_told_as_recorded() -> None:
    told = story(Told("B17", resolved_at=NOON, resolution={"kind": "recorded", "reason": "x"}))
    assert told[-1] == "It was recorded 2026-11-23 12:00:00 UTC: nobody has to do anything."


def test_balances_are_told_with_the_asset_of_their_account() -> None:
    evidence = {"account": "chain/31337/0xab/ETH"}
    (first, *_) = story(Told("B01", expected="1000000000", actual="7", evidence=evidence))
    assert in_whole_units(first, CATALOG) == (
        "The ledger has 1.000000000 ETH and the chain 0.000000007 ETH for chain/31337/0xab/ETH."
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5000000 units of USDC from 0xab", "5.000000 USDC from 0xab"),
        ("moved -1234567 units and", "moved -1.234567 USDC and"),
        ("123 minor units; these", "0.000123 USDC; these"),
        ("1 units of EUR", "0.01 EUR"),
        ("7 units of XYZ", "7 units of XYZ"),
        ("1000000000000000000 wei should", "1.000000000000000000 ETH should"),
        ("block 5, 0x12 units, units of work", "block 5, 0x12 units, units of work"),
    ],
)
def test_amounts_are_told_in_whole_units(text: str, told: str) -> None:
    assert in_whole_units(text, CATALOG) == told


def test_a_story_names_block_log_entry_and_cause() -> None:
    evidence = {"block_number": "7", "log_index": "3", "tx_hash": "0xab", "sequence": "12"}
    told = " ".join(story(Told("B06", evidence=evidence, cause="the rescuer took it")))
    assert "(block 7, log 3, transaction 0xab, ledger transaction 12)" in told
    assert "The rescuer took it." in told
    assert "Settlement was paused" in told
    assert "open since 2026-11-23 12:00:00 UTC" in told


def test_braces_in_what_a_stranger_wrote_are_only_words() -> None:
    assert "{expected}" in story(Told("B04", actual="{expected}"))[0]


def test_a_closed_break_tells_how_it_was_closed_and_asks_for_nothing() -> None:
    resolution = {"kind": "ledger_transaction", "ledger_sequence": "9", "reason": "fee"}
    told = story(Told("B01", resolved_at=NOON, resolution=resolution))
    assert told[-1] == "It was closed 2026-11-23 12:00:00 UTC by ledger transaction 9: fee."
    assert not any(each.startswith("What to do") for each in told)


def test_a_code_of_a_later_version_is_told_by_its_own_words() -> None:
    assert story(Told("B99"))[0] == "Something differs. Expected was 5; there is 4."
