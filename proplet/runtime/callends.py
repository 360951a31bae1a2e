"""How a call ended that did not return: the state, cause and words of it, as the agent is told.

Used by the workers of functions. Pure.
"""

from __future__ import annotations

import binascii

from wasmtime import ExitTrap, Trap, TrapCode, WasmtimeError

from propeller.wire.call_messages import MAX_BODY
from proplet.runtime.exchange import Wrong
from proplet.runtime.guest import FUEL, INTERRUPTED, ReturnedError, first_line, trap_words
from proplet.runtime.virtual import Refusal

STOPPED = {
    "timeout": "took longer than it may",
    "output": f"its answer is more than {MAX_BODY} bytes",
    "cancelled": "was cancelled",
}
"""Why we stop a call."""


class NotAsked(Exception):
    """The request does not fit the function: it never began."""


ENDS = (
    NotAsked,
    Wrong,
    Refusal,
    ExitTrap,
    Trap,
    ReturnedError,
    WasmtimeError,
    ValueError,
    OSError,
)
"""What a call may end with; anything else is a fault of ours."""


def told_of(error: Exception, stopped: str) -> dict[str, object]:
    """error: one of ENDS. stopped: why we stopped the call, "" where we did not."""
    match error:
        case binascii.Error():
            return {"state": "refused", "cause": "request", "error": "the body is not base64"}
        case NotAsked():
            return {"state": "refused", "cause": "request", "error": str(error)}
        case Wrong() | Refusal():
            return _failed("invalid", str(error))
        case ExitTrap():
            return _failed("exit", f"exit {error.code}")
        case Trap():
            return _trapped(error, stopped)
        case ReturnedError():
            return _failed("exit", str(error))
        case _:
            return _in_text(first_line(str(error)), stopped)


def _failed(cause: str, words: str) -> dict[str, object]:
    return {"state": "failed", "cause": cause, "error": words}


def _trapped(trap: Trap, stopped: str) -> dict[str, object]:
    code = trap.trap_code
    if code is TrapCode.INTERRUPT and stopped:
        return _failed(stopped, STOPPED[stopped])
    if code is TrapCode.OUT_OF_FUEL:
        return _failed("fuel", "used up its fuel")
    return _failed("trap", trap_words(trap))


def _in_text(words: str, stopped: str) -> dict[str, object]:
    """Of what has no code: the traps of components come as text."""
    if words == INTERRUPTED and stopped:
        return _failed(stopped, STOPPED[stopped])
    if words == FUEL:
        return _failed("fuel", "used up its fuel")
    return _failed("trap", words.replace("wasm trap: ", "trapped: ", 1))
