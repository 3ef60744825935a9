"""Money that is paid to the node on chain, and what it was paid for."""
