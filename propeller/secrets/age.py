"""The age identities of this machine, and opening what was encrypted to one of them.

`pyrage` is imported at first use. Identities come from a file or from text that the command line
took out of its environment; the file is read whenever something is opened, so a key that is put
there later is found. Nothing here says a word of what it opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propeller.errors import PropellerError

MAX_KEY_FILE = 64 << 10
MAX_IDENTITIES = 64
_IDENTITY = "AGE-SECRET-KEY-1"


class Locked(PropellerError):
    """It cannot be opened on this machine as it is now, and why. Another key may help."""


@dataclass(frozen=True, slots=True, repr=False)
class Identities:
    """Where the identities are. file: one a line, `#` begins a comment. text: the same, given.

    named: what to call the two in messages ("--age-key", "SOPS_AGE_KEY").
    """

    file: Path | None = None
    text: str = ""
    named: str = ""

    def open(self, sealed: bytes) -> bytes:
        """The bytes in an age file, armored or not. Raises Locked."""
        found = self._read()
        if not found:
            raise Locked(
                "there is no age identity to open it with",
                hint="say --age-key FILE, secrets.ageKeyFile in propeller.yaml, or"
                " SOPS_AGE_KEY_FILE",
            )
        import pyrage

        try:
            opened: bytes = pyrage.decrypt(sealed, list(found))
        except pyrage.DecryptError as error:
            words = str(error).lower()
            if "no matching keys" in words:
                raise Locked("it is encrypted to none of the age identities here") from None
            raise Locked("it is not an age file, or it was changed") from None
        return opened

    def _read(self) -> Sequence[Any]:
        texts = [self.text] if self.text else []
        if self.file is not None:
            try:
                with self.file.open("rb") as stream:
                    data = stream.read(MAX_KEY_FILE + 1)
            except OSError as error:
                raise Locked(f"{self.file}: {error.strerror}") from None
            if len(data) > MAX_KEY_FILE:
                raise Locked(f"{self.file} is larger than {MAX_KEY_FILE} bytes")
            texts.append(data.decode("utf-8", "replace"))
        from pyrage import IdentityError, x25519

        found: list[Any] = []
        for number, line in enumerate("\n".join(texts).splitlines(), start=1):
            word = line.strip()
            if not word or word.startswith("#"):
                continue
            # What a line holds is never repeated: it may be a key with a typo in it.
            if not word.startswith(_IDENTITY):
                raise Locked(f"{self._where}: line {number} is no age identity ({_IDENTITY}...)")
            try:
                found.append(x25519.Identity.from_str(word))
            except IdentityError:
                raise Locked(f"{self._where}: line {number} is a broken age identity") from None
            if len(found) > MAX_IDENTITIES:
                raise Locked(f"{self._where}: more than {MAX_IDENTITIES} age identities")
        return found

    @property
    def _where(self) -> str:
        return self.named or (str(self.file) if self.file is not None else "the age key")

    def __repr__(self) -> str:
        return f"Identities({self._where})"
