"""What kind of history a seed is: chosen before anything happens."""

from dataclasses import dataclass
from random import Random  # noqa: TID251 - a seeded history, no secret
from typing import Self

from node.core.mirror import Finality
from tests.histories.parties import DEPTH_BLOCKS
from tests.histories.provider import ALONE, Mood

_FINALITIES = {
    "depth": (Finality(DEPTH_BLOCKS), False),
    "tag": (Finality(None), True),
    "tag first": (Finality(DEPTH_BLOCKS, tag_first=True), True),
    "tag first, without one": (Finality(DEPTH_BLOCKS, tag_first=True), False),
}


_TAGS = frozenset({Mood.TAG_AHEAD, Mood.TAG_AWAY, Mood.TAG_BACK})


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of history.

    Attributes:
        providers: How many.
        finality_name: One of `_FINALITIES`.
        mirrors: How many follow the chain into one database.
        lasting: How one provider is to the end; honest: all are.
        has_bloom: Whether headers have bloom filters.
        is_crowded: Whether there are more deposit addresses than are asked for by topic.
        has_early: Whether a deposit address holds something before the mirror opens.
        pays_inside: Whether a transfer pays a deposit address of the node.
        denied: Whether a beneficiary can never be paid.
        reverting: Whether transactions of the lane may revert as a whole.
        strangers: What somebody else does with payment numbers: `agreed`, `other`, `void` or
            nothing.
        has_theft: Whether a key of the treasury is stolen.
    """

    providers: int
    finality_name: str
    mirrors: int
    lasting: Mood
    has_bloom: bool
    is_crowded: bool
    has_early: bool
    pays_inside: bool
    denied: bool
    reverting: bool
    strangers: str
    has_theft: bool

    @property
    def finality(self) -> Finality:
        """When a block is final for the mirror."""
        return _FINALITIES[self.finality_name][0]

    @property
    def has_tag(self) -> bool:
        """Whether the chain tags blocks."""
        return _FINALITIES[self.finality_name][1]

    @property
    def moods(self) -> list[Mood]:
        """How one of the providers may be for a while; those about tags more often, for few can."""
        usable = sorted(set(Mood) if self.providers > 1 else ALONE, key=lambda each: each.value)
        tags = [each for each in usable if each in _TAGS]
        return usable + tags if self.has_tag else [each for each in usable if each not in tags]

    @classmethod
    def of(cls, chance: Random) -> Self:
        """Choose."""
        providers = chance.choice((1, 2, 2, 3, 3))
        name = chance.choice(("depth", "depth", "depth", "tag", "tag first", *_FINALITIES))
        strangers = chance.choice(("", "", "", "", "", "agreed", "agreed", "other", "void"))
        plan = cls(
            providers=providers,
            finality_name=name,
            mirrors=chance.choice((1, 2, 2)),
            lasting=Mood.HONEST,
            has_bloom=chance.random() < 0.85,
            is_crowded=chance.random() < 0.07,
            has_early=chance.random() < 0.07,
            pays_inside=chance.random() < 0.25,
            denied=not strangers and chance.random() < 0.5,
            reverting=not strangers and chance.random() < 0.4,
            strangers=strangers,
            has_theft=chance.random() < 0.07,
        )
        if providers == 1:
            return plan
        lasting = chance.choice((Mood.PARTED, Mood.STALLED, *plan.moods))
        return cls(**{**{each: getattr(plan, each) for each in cls.__slots__}, "lasting": lasting})

    def kinds(self) -> list[str]:
        """Names of what this one has, to be counted."""
        named = {
            f"{self.providers} providers": True,
            f"finality: {self.finality_name}": True,
            f"{self.mirrors} mirrors": True,
            f"to the end: {self.lasting.value}": self.providers > 1,
            "no bloom filters": not self.has_bloom,
            "many deposit addresses": self.is_crowded,
            "held before the opening": self.has_early,
            "payout to a deposit address": self.pays_inside,
            "beneficiary denied": self.denied,
            f"strangers: {self.strangers}": bool(self.strangers),
            "theft": self.has_theft,
        }
        return [name for name, has in named.items() if has]
