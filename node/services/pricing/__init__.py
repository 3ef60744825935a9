"""Rates, quotes, what limits them, and the positions they leave."""
