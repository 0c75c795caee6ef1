"""TLS from a certificate and its key."""

from __future__ import annotations

import ssl
from pathlib import Path

from edgellm.errors import UsageError
from edgellm.files import os_errors

__all__ = ["load_certificate", "tls_context"]


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer. Raises UsageError, NotFoundError, AccessError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Use these files for connections from now on. Raises as ``tls_context`` does; then the former ones stay."""
    for what, path in (("certificate", certificate), ("key", key)):
        with os_errors(f"read the TLS {what} {path}"), Path(path).open("rb"):
            pass  # ssl does not say which of the two it could not read

    def no_password() -> str:
        raise UsageError(
            f"the TLS key {key} has a password, and nobody is there to type it",
            hint=f"write one without: openssl pkey -in {key} -out plain.pem, readable by the server's user alone",
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_password)
        context.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as error:
        raise UsageError(
            f"the TLS certificate {certificate} and the key {key} cannot be used: {error.reason or error}",
            hint="both are PEM files; the key is the one that the certificate was made with",
        ) from error
