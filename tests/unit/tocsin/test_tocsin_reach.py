"""Where may a line lead, once its name has been looked up? Tables of addresses, and what hides inside them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tocsin.reach import INTERNET, reach_of

NAME = "hook.example"
PUBLIC = ["8.8.8.8", "2a01:cb00::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
OWN_MACHINE = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
PRIVATE = ["10.20.0.7", "172.31.255.255", "192.168.1.1", "fd00::7", "::ffff:10.20.0.7"]
NEVER = [
    "169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::",
    "2002:a9fe:a9fe::1", "224.0.0.1", "ff02::1", "255.255.255.255", "100.64.0.1", "192.0.2.1", "240.0.0.1",
    "2001:0:a9fe:a9fe::1", "64:ff9b:1::7f00:1", "0.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_name_may_lead_to_the_internet(address: str) -> None:
    assert INTERNET.allows(NAME, address)


@pytest.mark.parametrize("address", [*OWN_MACHINE, *PRIVATE, *NEVER])
def test_a_name_may_not_lead_into_our_own_house(address: str) -> None:
    assert not INTERNET.allows(NAME, address)


@pytest.mark.parametrize("address", [*OWN_MACHINE, *PRIVATE])
def test_in_a_laboratory_what_is_near_may_be_reached(address: str) -> None:
    assert reach_of((), is_lab=True).allows(NAME, address)


@pytest.mark.parametrize("address", NEVER)
def test_not_even_a_laboratory_leads_to_the_metadata_of_a_cloud(address: str) -> None:
    assert not reach_of((), is_lab=True).allows(NAME, address)


def test_a_network_that_is_named_may_be_reached_and_no_other() -> None:
    reach = reach_of((ip_network("10.20.0.0/16"), ip_network("fd00::/64")), is_lab=False)
    assert [reach.allows(NAME, one) for one in ("10.20.0.7", "::ffff:10.20.0.7", "fd00::7")] == [True] * 3
    assert [reach.allows(NAME, one) for one in ("10.21.0.7", "127.0.0.1", "fd01::7")] == [False] * 3


@pytest.mark.parametrize("host", ["10.9.9.9", "[fd00::9]", "fd00::9"])
def test_an_address_in_the_url_is_meant_and_is_the_only_one(host: str) -> None:
    """Nobody's answer to a look-up: whoever set us up typed it."""
    assert INTERNET.allows(host, host.strip("[]"))
    assert not INTERNET.allows(host, "10.9.9.8")
