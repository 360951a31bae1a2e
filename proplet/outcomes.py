"""How a guest ended, in the agent's terms, from what its worker said or what killed it.

Called by `supervisor` once a guest. Keeps a result that is too long for a report as a blob.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

from propeller.errors import Unavailable
from propeller.wire.messages import INLINE_LIMIT, BlobRef, Entry
from proplet.blobs import Blobs
from proplet.effects import Outcome
from proplet.runtime import capture
from proplet.runtime.talk import Words
from proplet.words import milliseconds, size


def outcome_of(entry: Entry, told: Words, *, logs: Path, blobs: Blobs, most: int) -> Outcome:
    """The end of a guest as its worker told it; most: bytes of a result, whatever the entry says.

    The result of a once-run is what the export answered, else its stdout, read from `logs`.
    """
    code = told.get("exit")
    ok = told.get("ok") is True
    result, blob, trouble = None, None, ""
    if entry.mode == "once":
        limit = min(entry.output, most)
        result, blob, trouble = _result(told.get("result"), logs, blobs, limit)
    return Outcome(
        ok=ok and not trouble,
        exit=code if isinstance(code, int) else None,
        result=result,
        blob=blob,
        error=("" if ok else _words(entry, told)) or trouble,
    )


def _result(
    returned: object, logs: Path, blobs: Blobs, limit: int
) -> tuple[str | None, BlobRef | None, str]:
    if isinstance(returned, str):
        data = returned.encode()
    else:
        _, data = capture.read(logs, "stdout", 0, limit)
    if len(data) <= INLINE_LIMIT:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(), None, ""
    try:
        return None, blobs.keep(data), ""
    except Unavailable as error:
        return None, None, f"its result of {len(data)} bytes could not be kept: {error.what}"


def _words(entry: Entry, told: Words) -> str:
    match told.get("cause"):
        case "timeout":
            return f"ran longer than its limit of {milliseconds(entry.timeout or 0)}"
        case "output":
            return f"wrote more than its limit of {size(entry.output)} to stdout"
        case "stop":
            return "stopped"
        case _:
            return str(told.get("error") or "ended without a word")


def died(status: int) -> str:
    """What is to be said of a process that ended with that status without telling why."""
    if status == -signal.SIGKILL:
        return "its process was killed (the machine may have run out of memory)"
    if status < 0:
        return f"its process died of {signal.Signals(-status).name}"
    return f"its process ended with status {status}"
