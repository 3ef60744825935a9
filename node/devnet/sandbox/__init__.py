"""What a devnet can be made to do, so that every outcome a partner may meet can be met on purpose.

Not here: how commands show it (`node.cli.triggering`). Why it is so: ADR 0033.
"""

from node.devnet.sandbox.outcomes import OUTCOMES, Group, Outcome
from node.devnet.sandbox.site import Site, Wish
from node.devnet.sandbox.triggers import TRIGGERS, Trigger

__all__ = ["OUTCOMES", "TRIGGERS", "Group", "Outcome", "Site", "Trigger", "Wish"]
