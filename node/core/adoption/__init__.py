"""Adoption: what transactions that the database does not know mean for it. Pure.

A restored copy of the database, a lost write, or a second holder of a key: each shows as mined
transactions of the node's own accounts that no attempt explains. `facts` is what is known, `found`
is what follows, `plan` and `calls` conclude the one from the other. Reading the chain and writing
the plan is `node.services.settlement.adoption`.
"""
