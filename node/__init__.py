"""Corridor: a cross-border payment node."""

__version__ = "0.1.0"
