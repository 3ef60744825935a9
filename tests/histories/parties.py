"""Who is on the model chain, and the sizes of a history."""

from eth_account import Account

from node.core.units import Address

TREASURY = Address(b"\x7e" * 20)
LANE_KEY = b"\x1a" * 32
"""Of nobody: its transactions are read whole where nobody can tell nonces, so they are signed."""

LANE = Address(bytes.fromhex(Account.from_key(LANE_KEY).address[2:]))
CONTRACT = Address(b"\xc0" * 20)
OWN = (CONTRACT, TREASURY, LANE)
FACTORY = Address(b"\xfa" * 20)
TOKEN = Address(b"\x70" * 20)
OTHER_TOKEN = Address(b"\x71" * 20)
NOISE = Address(b"\x99" * 20)
STRANGERS = (b"\x51" * 20, b"\x52" * 20)

DEPTH_BLOCKS = 4
FLOAT = 10**12
BUY = 1_000_000
TRANSFERS = 6
EARLY = 777_777
"""What a deposit address holds already when the mirror opens, token units."""

CROWD = 520
"""Deposit addresses of a crowded history: more than are asked for by topic."""
