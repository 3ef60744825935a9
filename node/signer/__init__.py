"""The signer process: holds the node's keys on a machine of its own, and signs what rules allow.

A node that was broken into can ask it for whatever it likes, and gets no more than the roles of
the keys and the daily limits allow. Not here: the node's side (`adapters.evm.remote_signer`),
the rules of the roles (`node.core.signing`).
"""
