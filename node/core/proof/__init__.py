"""Proving the ledger from its records: findings, records, accounts, books, chain, export."""
