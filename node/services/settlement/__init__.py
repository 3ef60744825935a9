"""Paying on chain: lanes, their treasury, and what is learnt of a lane's past."""
