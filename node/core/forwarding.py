"""Whose request it is when proxies stand before the node: the header X-Forwarded-For.

Each proxy appends the address that it was asked from, so what stands furthest right was written by
the proxy nearest to the node, and whatever stands left of an address that is no trusted proxy's may
have been made up there (RFC 7239 8.1 warns of the same). Other headers of proxies, `Forwarded` and
`X-Forwarded-Proto` among them, are not read: nothing in the node is decided by the scheme.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

HOPS_MAX: Final = 32
"""Addresses of one header that are looked at; who passes more proxies is not believed."""

_WANTED: Final = (
    "must be addresses or networks in CIDR, separated by commas, such as 10.0.0.5,fd00::/64,"
    " without bits beside the prefix; not everybody's"
)
_WITH_PORT: Final = re.compile(
    r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^\[\]]*:[^\[\]]*)\](?::[0-9]{1,5})?", re.ASCII
)


def read_proxies(texts: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks of proxies that are trusted.

    Raises:
        ValueError: One is neither, has bits beside its prefix, or has everybody in it, who could
            then claim any address.
    """
    networks: list[IPv4Network | IPv6Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError:
            raise ValueError(_WANTED) from None
    if any(each.prefixlen == 0 for each in networks):
        raise ValueError(_WANTED)
    return tuple(networks)


def client_address(
    peer: str, lines: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]
) -> str:
    """The address that a request came from.

    From the right over proxies that are trusted, to the first address that is none of theirs, or
    to the last there is. What cannot be read on the way makes the whole header void.

    Args:
        peer: Of the connection.
        lines: Values of X-Forwarded-For, in the order in which they came.
        proxies: Trusted ones; none: nobody is believed.
    """
    found = _address(peer)
    if found is None or not _is_in(found, proxies):
        return peer
    hops = [hop.strip(" \t") for hop in ",".join(lines).rsplit(",", HOPS_MAX)]
    for place, hop in enumerate(reversed(hops)):
        read = _hop(hop) if place < HOPS_MAX else None
        if read is None:
            return peer
        if not _is_in(read, proxies):
            return str(read)
        found = read
    return str(found)


def _hop(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without a port: `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:443`."""
    match = _WITH_PORT.fullmatch(text)
    return _address(text if match is None else match["v4"] or match["v6"])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Without its zone, which means something on the machine that wrote it alone (RFC 4007 6).

    An IPv4 address that comes mapped into IPv6 is the IPv4 address.
    """
    try:
        read = ip_address(text)
    except ValueError:
        return None
    if isinstance(read, IPv6Address):
        return read.ipv4_mapped or IPv6Address(int(read))
    return read


def _is_in(
    address: IPv4Address | IPv6Address, networks: Sequence[IPv4Network | IPv6Network]
) -> bool:
    return any(address in network for network in networks)
