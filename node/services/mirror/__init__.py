"""Reading the chain into the ledger: blocks, finality, reorgs, and how healthy that is."""
