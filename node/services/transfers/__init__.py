"""Accepting transfers and moving them through their states."""
