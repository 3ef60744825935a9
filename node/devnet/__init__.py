"""Local development network: supervision of PostgreSQL, anvil and node processes."""
