"""Which addresses may be reached on behalf of somebody else (against server-side request forgery).

An allow-list: what the public internet routes to, and nothing else. Special addresses are those of
IANA's registries (RFC 6890), and what IPv6 addresses carry inside counts as what they carry.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291 2.4, all that IANA gives out
_6TO4: Final = IPv6Network("2002::/16")  # RFC 7526: deprecated
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_METADATA: Final = frozenset({IPv4Address("168.63.129.16")})
"""Public addresses by which a cloud answers its own machines: Azure's."""


def is_public(text: str) -> bool:
    """Whether this is an address of the public internet: no name, no zone, no port."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(address.packed[-4:]))
    return _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and address not in _METADATA
    )


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _GLOBAL_UNICAST and address.is_global and address not in _6TO4
