"""IP addresses by what lies behind them: the public internet, or something that only we can reach."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Where clouds tell a machine its own credentials; two of them look like public addresses.
_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
        ),
    )
)
METADATA = "a cloud metadata address"
_CARRIER = IPv4Network("100.64.0.0/10")
_GLOBAL = IPv6Network("2000::/3")  # all that is given to anybody, of IPv6
_COMPATIBLE = IPv6Network("::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_NAT64 = IPv6Network("64:ff9b::/96")


def kind_of(address: Address) -> str:
    """What is wrong with an address, in words ("a private address"); empty: it is public.

    An IPv6 address that stands for an IPv4 address is taken for that one.
    """
    address = plain(address)
    if address in _METADATA:
        return METADATA
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, IPv4Address):
        if address in _CARRIER:
            return "an address behind a carrier's NAT"
        if address.is_reserved:
            return "a reserved address"
        return "a private address" if address.is_private else ""
    if address.is_private or address.is_site_local:
        return "a private address"
    return "" if address in _GLOBAL and address not in _TEREDO else "a reserved address"


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, compatible, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    if address in _NAT64 or (address in _COMPATIBLE and number > 1):
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    return address
