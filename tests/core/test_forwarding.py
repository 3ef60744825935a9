"""Whose request it is behind proxies: what is believed of a header, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.forwarding import HOPS_MAX, client_address, read_proxies

PROXIES = read_proxies(["10.0.0.0/8", "192.0.2.10", "fd00::/64", "2001:db8::10"])
PEER = "10.0.0.1"
CLIENT = "198.51.100.7"


@pytest.mark.parametrize("peer", [CLIENT, "2001:db8::99", "::ffff:198.51.100.7", "", "unix"])
def test_a_header_of_who_is_not_trusted_is_ignored(peer: str) -> None:
    assert client_address(peer, ["203.0.113.9"], PROXIES) == peer


def test_without_proxies_nobody_is_believed() -> None:
    assert client_address(PEER, [CLIENT], ()) == PEER


@pytest.mark.parametrize(
    "lines",
    [
        [CLIENT],
        [f"203.0.113.9, {CLIENT}"],
        [f"10.0.0.9, {CLIENT}, 10.0.0.2"],
        [f"garbage, {CLIENT},192.0.2.10 ,\t10.3.2.1"],
        ["203.0.113.9", f"127.0.0.1,{CLIENT}", "10.0.0.2"],
        [f"{CLIENT}:51234", "10.0.0.2:80"],
        [f"::ffff:{CLIENT}", "[fd00::2]:443, ::ffff:10.0.0.2"],
        [f"[::ffff:{CLIENT}]:1"],
        [CLIENT, "fd00::2%eth0"],
        [f"<script>,,, {CLIENT}"],
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxys_is_the_clients(
    lines: list[str],
) -> None:
    assert client_address(PEER, lines, PROXIES) == CLIENT
    assert client_address(f"::ffff:{PEER}", lines, PROXIES) == CLIENT
    assert client_address("fd00::1%eth0", lines, PROXIES) == CLIENT


@pytest.mark.parametrize(
    "written",
    [
        "2001:db8::7",
        "[2001:db8::7]",
        "[2001:DB8:0::7]:443",
        "2001:db8::7%eth0",
        "[2001:db8::7%1]:9",
    ],
)
def test_an_ipv6_address_is_told_without_brackets_port_and_zone(written: str) -> None:
    assert client_address(PEER, [written], PROXIES) == "2001:db8::7"


@pytest.mark.parametrize(
    "garbage",
    [
        "", " ", "unknown", "_hidden", "localhost", "198.51.100", "198.51.100.256",
        "198.51.100.7:", "198.51.100.7:a", "198.51.100.7:123456", "198.51.100.7%eth0",
        "0198.51.100.7", "[198.51.100.7]", "[2001:db8::7", "2001:db8::7]", "[2001:db8::7]443",
        "[]", "[:]", "2001:db8::7::1", '"198.51.100.7"', "for=198.51.100.7", "198.51.100.7;1",
        "198.51.100.7 10.0.0.2", "10.0.0.0/8", "3325256711", "0x0a000001", "\xb9.0.0.1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_on_the_way_makes_the_header_void(garbage: str) -> None:
    for lines in ([garbage], [CLIENT, garbage], [f"{CLIENT},{garbage}, 10.0.0.2"]):
        assert client_address(PEER, lines, PROXIES) == PEER


def test_where_all_are_proxies_the_farthest_asked() -> None:
    assert client_address(PEER, ["10.0.0.4, 10.0.0.3", "10.0.0.2"], PROXIES) == "10.0.0.4"


def test_who_passes_more_proxies_than_there_can_be_is_not_believed() -> None:
    hops = ["10.0.0.2"] * (HOPS_MAX - 1)
    assert client_address(PEER, [",".join([CLIENT, *hops])], PROXIES) == CLIENT
    assert client_address(PEER, [",".join([CLIENT, "10.0.0.2", *hops])], PROXIES) == PEER


@given(st.lists(st.text(alphabet="10.:[]%,a f\x00é", max_size=40), max_size=4))
def test_whatever_a_client_sends_before_a_proxys_line_changes_nothing(forged: list[str]) -> None:
    assert client_address(PEER, [*forged, CLIENT], PROXIES) == CLIENT


@pytest.mark.parametrize("text", ["*", "all", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33"])
def test_everybody_and_what_is_no_network_cannot_be_trusted(text: str) -> None:
    with pytest.raises(ValueError, match="CIDR"):
        read_proxies(["10.0.0.0/8", text])
