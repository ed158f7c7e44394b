"""The proxy that the system's settings name for a remote target."""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit

from speculatoviz.errors import TargetError

SETTINGS = "the environment variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
REMEDY = "Set the URL of an http:// proxy, or list the target's host in NO_PROXY."
_SCHEMES = {"http", "https", "socks5", "socks5h"}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reached without a network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)


def proxy_url(scheme: str, host: str, port: int | None) -> str | None:
    """The URL of the proxy for http or https to a host; None for none, and for this machine.

    Raises TargetError if it is not the URL of a proxy that can be used. The URL can contain credentials.
    """
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{port}" if port else host):
        return None
    settings = urllib.request.getproxies()
    stated = settings.get(scheme) or settings.get("all")
    if not stated or _excluded(host, settings.get("no", "")):
        return None
    url = stated if "://" in stated else f"http://{stated}"
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise TargetError(f"The proxy settings contain no valid URL ({SETTINGS}).", REMEDY)
    if parts.scheme not in _SCHEMES:
        raise TargetError(
            f"The proxy settings name a proxy of the kind {parts.scheme}://, which cannot be used ({SETTINGS}).", REMEDY
        )
    return url


def socks_package_missing(package: str) -> TargetError:
    """The error for a SOCKS proxy without the package that speaks its protocol."""
    return TargetError(
        f"The proxy settings name a SOCKS proxy, which needs the package {package} ({SETTINGS}).",
        f"Install {package}. Or: {REMEDY[0].lower()}{REMEDY[1:]}",
    )


def _excluded(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY lists a network that contains the host; names are compared by `urllib.request`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in (part.strip() for part in no_proxy.split(",")):
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False
