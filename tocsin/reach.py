"""To which addresses may a message leave, once a name has been looked up? A name is ours; where it leads is not.

Whoever answers for a name in the DNS could lead a line to a machine inside our own network: the metadata of a
cloud (169.254.169.254), a database, the broker. So a name may lead to the public internet, and beyond it to the
networks that the deployment names (a private network shared with the recipient is the rule in France, not the
exception). In realm lab everything private is near, and loopback. An address that stands in the URL itself is
nobody's answer: it was typed by whoever set us up, and is meant.

An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is judged as the one that it carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NEAR: Final = tuple(
    ip_network(one)
    for one in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""A laboratory: this machine, and the private networks (RFC 1918, RFC 4193). Never link-local."""

NAT64: Final = IPv6Network("64:ff9b::/96")
TUNNELS: Final = (IPv6Network("2001::/32"), IPv6Network("64:ff9b:1::/48"))
"""Teredo and local NAT64: whom they lead to is not to be seen in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """``networks``: beyond the public internet, where names may lead."""

    networks: tuple[Network, ...] = ()

    def allows(self, host: str, address: str) -> bool:
        """Whether the line to ``host`` may go to ``address``, the one that was connected to."""
        found = _carried(ip_address(address.partition("%")[0]))
        if _literal(host) == found or any(found in one for one in self.networks if one.version == found.version):
            return True
        hidden = any(found in one for one in TUNNELS if one.version == found.version)
        return found.is_global and not found.is_multicast and not hidden


INTERNET: Final = Reach()


def reach_of(networks: Sequence[Network], *, is_lab: bool) -> Reach:
    """That of a deployment."""
    return Reach(networks=(*networks, *(NEAR if is_lab else ())))


def _literal(host: str) -> Address | None:
    try:
        return _carried(ip_address(host.strip("[]")))
    except ValueError:
        return None


def _carried(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
