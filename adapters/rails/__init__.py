"""Banks that pay beneficiaries in local money."""

from adapters.rails.sandbox_bank import SandboxBank

__all__ = ["SandboxBank"]
