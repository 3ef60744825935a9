"""What goes wrong on a developer's machine, with the way to mend it."""


class DevnetError(Exception):
    """A fault a person can act on.

    Attributes:
        remedy: What to do about it, one sentence; empty when nothing better can be said.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        """The fault, then the remedy on a line of its own."""
        message = super().__str__()
        return f"{message}\nRemedy: {self.remedy}." if self.remedy else message


class Outdated(DevnetError):
    """Another version of the devnet, which deploys other contracts, made the state directory."""

    def __init__(self) -> None:
        super().__init__(
            "this devnet was made by another version of Corridor, and cannot go on with this one",
            remedy="run `corridor devnet down --wipe`, then start anew",
        )
