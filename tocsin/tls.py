"""How do we prove who we are to an outside server, and it to us? Three PEM files, tried before anything starts.

The server's certificate is always verified, its name too; a file that is wrong is a setting that is wrong.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

NO_PASSPHRASE = ""
"""A key that wants one is refused: a part that starts at night has nobody to ask."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """``ca``: who signs for the server (None: whom this machine trusts). ``cert``, ``key``: ours, both or none."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For a client. Raises OSError (ssl.SSLError is one) when a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key, password=NO_PASSPHRASE)
        return context

    def problem(self) -> tuple[str, str] | None:
        """(which of ``ca``, ``cert``, ``key``; what is wrong with it), or None. Quotes nothing of a file."""
        given = {name: file for name in ("ca", "cert", "key") if (file := getattr(self, name)) is not None}
        for name, file in given.items():
            if wrong := _unreadable(file):
                return name, wrong
        try:
            if "ca" in given:
                TlsFiles(ca=self.ca).context()
        except OSError:
            return "ca", f"{self.ca} is not a PEM file of certificates"
        try:
            if "cert" in given:
                self.context()
        except OSError as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            return "key", f"{self.key} is not the key, without passphrase, of {self.cert} ({reason})"
        return None


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb"):
            return None
    except OSError as error:
        return f"{file}: {error.strerror}"
