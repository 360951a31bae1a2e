"""What a workload is given of Secrets: whether all of it is there, and whether it changed.

Called by `lifecycle` and by whoever names runs. Sees keyed digests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from propeller.model.secrets import KnownSecret, Secrets
from propeller.model.specs import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """digests: by variable, what names the run. before: the same before the last change.

    changed: the Secrets that changed then. reason, words: why it cannot be given, "" when it can:
    SecretMissing or SecretLocked.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    reason: str = ""
    words: str = ""


NOTHING = Given()


def given(obj: Workload, secrets: Secrets) -> Given:
    """What `obj` is given of the Secrets of its namespace."""
    if not obj.run.secrets:
        return NOTHING
    digests, before, changed = {}, {}, []
    for one in obj.run.secrets:
        known = secrets.get((obj.meta.key.namespace, one.secret))
        trouble = _trouble(known, one.secret, one.key)
        if trouble is not None:
            return Given(reason=trouble[0], words=trouble[1])
        assert known is not None
        digests[one.name] = known.digests[one.key]
        before[one.name] = known.previous.get(one.key, digests[one.name])
        if before[one.name] != digests[one.name] and one.secret not in changed:
            changed.append(one.secret)
    return Given(digests=digests, before=before, changed=tuple(changed))


def _trouble(known: KnownSecret | None, name: str, key: str) -> tuple[str, str] | None:
    if known is None:
        return "SecretMissing", f"there is no Secret {name} in its namespace"
    if known.trouble:
        return "SecretLocked", f"Secret {name} cannot be opened: {known.trouble}"
    if key not in known.digests:
        has = ", ".join(sorted(known.digests)[:5]) or "none"
        return "SecretMissing", f"Secret {name} has no key {key}; its keys: {has}"
    return None
