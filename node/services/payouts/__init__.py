"""Payouts for partners: registered, matched at finality, paid by a rail, sent back."""
