"""Replace identifiers by salted hashes, the same ones each time the same salt is used."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from hilum.errors import SourceError

LEAST_SALT_BYTES = 16


class Pseudonyms:
    """Gives each identifier a stand-in: HMAC-SHA256 under a secret salt (RFC 2104), 128 bits as hexadecimal digits.

    The kind enters the hash, so that a patient and a study of one number get different stand-ins.

    Args:
        salt: at least 16 secret bytes. Without it nobody can tell whose stand-in it is; with it anybody can.

    Raises:
        SourceError: the salt is too short.

    Example:
        >>> Pseudonyms(b"0123456789abcdef").of("patient", "4711")
        '2a789173cd9ecf1739432ac51b737167'
    """

    def __init__(self, salt: bytes) -> None:
        if len(salt) < LEAST_SALT_BYTES:
            raise SourceError(
                f"the salt is {len(salt)} bytes; expected at least {LEAST_SALT_BYTES}, or identifiers can be guessed. "
                "Make one with: head -c 32 /dev/urandom | base64 > salt.txt  and keep it secret."
            )
        self._salt = salt

    @classmethod
    def from_file(cls, path: Path) -> Pseudonyms:
        """Pseudonyms under the salt in a file; blanks and line ends around it do not count."""
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise SourceError(f"the salt file {path} cannot be read: {error.strerror}.") from error

    def of(self, kind: str, identifier: str) -> str:
        """The stand-in of one identifier (`kind`: patient, study, image or path)."""
        return hmac.new(self._salt, f"{kind}\0{identifier}".encode(), hashlib.sha256).hexdigest()[:32]

    @property
    def check(self) -> str:
        """Tells whether two runs used one salt, without telling the salt."""
        return self.of("salt check", "")[:12]
