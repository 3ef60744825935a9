"""Values that force an outcome wherever they are sent to a devnet's node; nothing is triggered.

Not here: ends of account numbers, which the sandbox's bank knows (`adapters.rails.sandbox_bank`).
"""

from typing import Final

DENIED_ADDRESS: Final = "0x00000000000000000000000000000000DeaDBeef"
"""On the token's deny list from a devnet's first block on: nobody can pay it."""

BELOW_LEAST: Final = "0.01"
"""EUR, less than any corridor takes."""

ABOVE_MOST: Final = "1000000.00"
"""EUR, more than any corridor takes."""

BEYOND_EVERYBODY: Final = "99999.00"
"""EUR that a corridor takes, and more than any of the devnet's customers has."""
