"""The certificate of a server that speaks TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError


@dataclass(frozen=True, slots=True)
class Certificate:
    """Paths of PEM files. chain: the certificate, then those that signed it. key: its private key."""

    chain: str
    key: str


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate of the settings, after a try; None for a server without TLS. Raises BadRequestError."""
    chain, key = settings.tls_certificate, settings.tls_key
    if chain is None:
        if key is not None:
            raise BadRequestError("A TLS key is given without a certificate.", "Give --tls-certificate too.")
        return None
    found = Certificate(chain, key or chain)
    for path in dict.fromkeys((found.chain, found.key)):
        _check_readable(path)
    try:
        # Without the empty password, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.chain, found.key, password=lambda: "")
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise BadRequestError(
            f"{found.chain} and {found.key} cannot be used for TLS ({str(reason).replace('_', ' ').lower()}).",
            "Give a certificate and its own private key, both in PEM files and the key without a password.",
        ) from error
    return found


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror or error})."
        raise BadRequestError(message, "Check --tls-certificate and --tls-key.") from error
