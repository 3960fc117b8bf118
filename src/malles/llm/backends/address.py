"""Which server addresses are allowed: http or https, never link-local or a cloud's metadata service.

An address is set by whoever runs malles, never by data. It is checked as written (also as one number, in
octal or hexadecimal parts, and as IPv4 inside IPv6) and again after its name was looked up. Redirects are
not followed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from urllib.parse import urlsplit

from malles.errors import ConfigError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, OpenStack
        "168.63.129.16",  # Azure's host
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
    )
)
METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str) -> str:
    """The address itself if it may be asked.

    Raises:
        ConfigError: another scheme, no host, a password inside, or a host that is refused.

    >>> check_url("http://127.0.0.1:8000/v1")
    'http://127.0.0.1:8000/v1'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as problem:
        raise ConfigError(f"base_url cannot be read as an address ({problem}).") from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ConfigError(
            "base_url contains a user name or a password; give the key in $OPENAI_API_KEY or in key_file."
        )
    if parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\\]", url):
        raise ConfigError(
            "base_url has a query, a fragment or white space; give only scheme, host, port and path."
        )
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigError(
            f"base_url is {url[:120]!r}, but must be http:// or https:// with a host, "
            "for example http://127.0.0.1:8000/v1"
        )
    plain = unicodedata.normalize("NFKC", host).rstrip(".").lower()
    if plain in METADATA_NAMES:
        raise ConfigError(f"base_url names {host!r}, a cloud's metadata service; that is refused.")
    found = read_address(plain)
    if found is not None:
        check_address(found, host)
    return url


def read_address(host: str) -> IPAddress | None:
    """The numeric address a host stands for, in any spelling that a system would accept; None for a name.

    >>> read_address("2852039166"), read_address("0xa9.254.43518"), read_address("example.org")
    (IPv4Address('169.254.169.254'), IPv4Address('169.254.169.254'), None)
    """
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError as problem:
        raise ConfigError(f"base_url has the host {host!r}, which is no address.") from problem


def check_address(address: IPAddress, host: str) -> None:
    """Refuse link-local, metadata, multicast and unspecified addresses, also where IPv6 carries IPv4.

    Raises:
        ConfigError: the address is refused.
    """
    for one in (address, *_carried(address)):
        if one.is_link_local or one in METADATA or one.is_multicast or one.is_unspecified:
            raise ConfigError(
                f"base_url leads to {host!r} ({one}), a link-local, metadata or broadcast address; that is "
                "refused. Name the host your model server runs on."
            )


def _carried(address: IPAddress) -> tuple[IPAddress, ...]:
    """IPv4 addresses inside an IPv6 one: mapped, compatible, 6to4, Teredo and NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    inside: list[IPAddress] = [a for a in (address.ipv4_mapped, address.sixtofour) if a is not None]
    inside += list(address.teredo or ())
    low = int(address) & 0xFFFFFFFF
    if address in NAT64 or (int(address) >> 32 == 0 and low > 1):
        inside.append(ipaddress.IPv4Address(low))
    return tuple(inside)


def check_resolved(url: str, addresses: list[str], *, with_key: bool) -> None:
    """Check what a name was looked up to; a key is sent unencrypted only inside your own network.

    Raises:
        ConfigError: one of the addresses is refused, or a key would travel over open http.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        check_address(address, host)
        if with_key and parts.scheme == "http" and address.is_global:
            raise ConfigError(
                f"base_url would send the key to {host!r} over http, where anyone can read it; use https."
            )
