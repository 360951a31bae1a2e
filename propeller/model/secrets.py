"""What anyone may know of a Secret: how it is sealed, and a keyed digest of each value.

Digests are made by the reconciler's vault and read by the planner. Their key stays with the fleet's
keys, so nobody who has only a digest can try values against it; equal values have equal digests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

SEALED: Final = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+)"
    r",type:(str|int|float|bool|bytes|time)\]\Z"
)
"""One value as SOPS writes it. Comments are sealed too, with a type of their own."""

ARMOR: Final = "-----BEGIN AGE ENCRYPTED FILE-----"
ARMOR_END: Final = "-----END AGE ENCRYPTED FILE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSecret:
    """digests: by key, of the values as they are. previous: as they were before the last change.

    trouble: why it cannot be opened, in words, "" when it can; digests is empty then.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


Secrets: TypeAlias = Mapping[tuple[str, str], KnownSecret]
"""By (namespace, name)."""
