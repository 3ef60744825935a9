"""Writing the ledger and reading it: postings, statements, checkpoints, proofs."""
