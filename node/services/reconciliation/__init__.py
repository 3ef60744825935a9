"""Comparing the ledger with chain and bank, explaining each difference, breaks."""
