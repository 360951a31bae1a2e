"""A guest that trains: what it may import, and what becomes of what it leaves behind.

Runs in a worker, called by `guest`. A module of `propeller_fl` reads the model and its samples
through functions and answers through `submit` and `metric`; a plain WASI module gets variables and
two directories and answers on stdout (`contract`). Either way there is no socket, no clock and no
other file: what leaves is one update and sixteen numbers. docs/reference/federated-guest.md is the
page for people, `examples/sdk` the other side.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from wasmtime import Caller, FuncType, Linker, ValType

from proplet.runtime import samples
from proplet.runtime.answers import (
    Answer,
    Metrics,
    checked_samples,
    encoded,
    from_body,
    measured,
)
from proplet.runtime.contract import (
    environment,
    most_output,
    read_metrics,
    read_update,
)
from proplet.runtime.fit import FL
from proplet.runtime.lesson import DECLINED, Lesson
from proplet.runtime.talk import Words
from proplet.runtime.virtual import Dice, Refusal, Virtual, peek, poke

MAX_BODY = 1 << 28
DATA = "/data"
MODEL = "/model"
MODEL_FILE = "global.f32"
UPDATE_FILE = "update"
"""Where the body of an update waits in the run's directory until the agent has signed it."""
LEFT_FILE = "left"
"""Where what a top-k update leaves out waits for the same."""

ENCODINGS = {
    1: "f32-delta",
    2: "f32-full",
    3: "f16-delta",
    4: "bf16-delta",
    5: "q8-delta",
    6: "q4-delta",
    7: "topk-f32",
    8: "topk-f16-bitmap",
}
"""What `submit` takes, by the ids of the wire; the host makes the round's own format of it."""

_I32, _I64, _F64 = ValType.i32, ValType.i64, ValType.f64


class Training:
    """See the module. `directory`: the run's own. Raises ValueError, OSError for broken data."""

    def __init__(self, lesson: Lesson, directory: Path, *, limit: int) -> None:
        self._lesson = lesson
        self._directory = directory
        self._limit = limit
        self._metrics = Metrics()
        self._answer: Answer | None = None
        self._said: int | None = None
        self._steps = 0
        self._correction: bytes | None = None
        files = () if lesson.data is None else samples.files_of(lesson.data, lesson.step)
        self._imports = lesson.guest == "Imports"
        self._samples = samples.Samples(files if self._imports else ())
        self._params = dict(lesson.params)
        self._dice = Dice(lesson.seed, b"propeller-fl-rand-v1")
        self._model = b"" if lesson.base is None else lesson.base.astype("<f4").tobytes()
        self._found = None if lesson.data is None else samples.count(lesson.data, lesson.step)
        shape = self._samples.shape
        for name, number in (
            ("data.records", shape.records),
            ("data.features", shape.features),
            ("data.labels", shape.labels),
            ("round", lesson.round),
        ):
            self._params[name] = str(number)

    # -- what the guest is given -------------------------------------------------------------------

    @property
    def output(self) -> int:
        """Bytes of stdout that are kept."""
        return self._limit if self._imports else most_output(self._lesson, self._limit)

    def environment(self) -> list[tuple[str, str]]:
        """Raises Refusal."""
        return [] if self._imports else environment(self._lesson, self._counted())

    def _counted(self) -> int:
        """Samples, where the guest does not say: the owner's number, those in files, else 1."""
        return self._lesson.samples or self._found or 1

    @property
    def assumed(self) -> bool:
        """Whether that is a guess."""
        return not (self._lesson.samples or self._found or self._said)

    def directories(self) -> list[tuple[str, str]]:
        """What a plain module may read: (directory of ours, path of the guest). Raises OSError."""
        if self._imports:
            return []
        found = [] if self._lesson.data is None else [(str(self._lesson.data), DATA)]
        if self._lesson.guest == "File" and self._lesson.base is not None:
            place = self._directory / "model"
            place.mkdir(mode=0o700, exist_ok=True)
            (place / MODEL_FILE).write_bytes(self._model)
            found.append((str(place), MODEL))
        return found

    def link(self, linker: Linker) -> None:
        """Give the guest its imports in place of a machine."""
        Virtual(self._lesson.seed).link(linker)
        for name, (params, results, function) in {
            "model_len": ([], [_I32()], self._model_len),
            "model_read": ([_I32(), _I32(), _I32()], [], self._model_read),
            "correction_read": ([_I32(), _I32(), _I32()], [], self._correction_read),
            "data_next": ([_I32(), _I32()], [_I32()], self._data_next),
            "param_i64": ([_I32(), _I32(), _I64()], [_I64()], self._param_i64),
            "param_f64": ([_I32(), _I32(), _F64()], [_F64()], self._param_f64),
            "rand_u64": ([], [_I64()], self._rand_u64),
            "metric": ([_I32(), _I32(), _F64()], [], self._metric),
            "steps": ([_I32()], [], self._tell_steps),
            "submit": ([_I32(), _I32(), _I32(), _I64()], [], self._submit),
        }.items():
            call = cast("Callable[..., object]", function)
            linker.define_func(FL, name, FuncType(params, results), call, access_caller=True)

    # -- imports -----------------------------------------------------------------------------------

    def _model_len(self, _caller: Caller) -> int:
        return len(self._model)

    def _model_read(self, caller: Caller, off: int, to: int, length: int) -> None:
        off, length = off & 0xFFFFFFFF, length & 0xFFFFFFFF
        if off + length > len(self._model):
            have = len(self._model)
            raise Refusal(f"rejected: model_read of {length} bytes at {off}, the model has {have}")
        poke(caller, to, self._model[off : off + length])

    def _correction_read(self, caller: Caller, off: int, to: int, length: int) -> None:
        """A piece of c - c_k, laid out as the model; zeros where the strategy has none."""
        off, length = off & 0xFFFFFFFF, length & 0xFFFFFFFF
        if off + length > len(self._model):
            have = len(self._model)
            words = f"rejected: correction_read of {length} bytes at {off}, the model has {have}"
            raise Refusal(words)
        control = self._lesson.control
        if control is None:
            poke(caller, to, bytes(length))
            return
        if self._correction is None:
            self._correction = control.correction.astype("<f4").tobytes()
        poke(caller, to, self._correction[off : off + length])

    def _data_next(self, caller: Caller, to: int, most: int) -> int:
        try:
            data = self._samples.next(most & 0x7FFFFFFF)
        except ValueError as error:
            raise Refusal(f"rejected: {error}") from None
        except OSError as error:
            raise Refusal(f"its data cannot be read: {error.strerror}") from None
        poke(caller, to, data)
        return len(data)

    def _param(self, caller: Caller, at: int, length: int) -> str | None:
        if not 0 <= length <= 128:
            raise Refusal("rejected: a parameter's name has at most 128 bytes")
        return self._params.get(peek(caller, at, length).decode("utf-8", "replace"))

    def _param_i64(self, caller: Caller, at: int, length: int, default: int) -> int:
        text = self._param(caller, at, length)
        try:
            value = default if text is None else int(text)
        except ValueError:
            raise Refusal(f"rejected: a parameter is {str(text)[:40]!r}, not whole") from None
        if not -(1 << 63) <= value < 1 << 63:
            raise Refusal("rejected: a parameter that does not fit 64 bits")
        return value

    def _param_f64(self, caller: Caller, at: int, length: int, default: float) -> float:
        text = self._param(caller, at, length)
        try:
            return default if text is None else float(text)
        except ValueError:
            raise Refusal(f"rejected: a parameter is {str(text)[:40]!r}, not a number") from None

    def _rand_u64(self, _caller: Caller) -> int:
        value: int = struct.unpack("<q", self._dice.bytes(8))[0]
        return value

    def _metric(self, caller: Caller, at: int, length: int, value: float) -> None:
        if not 0 <= length <= 128:
            raise Refusal("rejected: a metric's name is too long")
        self._metrics.tell(peek(caller, at, length).decode("utf-8", "replace"), value)

    def _tell_steps(self, _caller: Caller, steps: int) -> None:
        self._steps = steps & 0xFFFFFFFF

    def _submit(self, caller: Caller, encoding: int, at: int, length: int, number: int) -> None:
        """The one way out; the first call is the only one."""
        if self._said is not None:
            raise Refusal("rejected: submit was called twice")
        self._said = checked_samples(number)
        if self._lesson.step == "evaluate":
            if length:
                raise Refusal("rejected: an evaluation submits no model, only its samples")
            return
        name = ENCODINGS.get(encoding)
        if name is None:
            raise Refusal(f"rejected: submit does not know encoding {encoding}")
        count = self._lesson.count
        most = MAX_BODY if count is None else 8 * count + 4096
        if length & 0xFFFFFFFF > most:
            raise Refusal(f"rejected: {length & 0xFFFFFFFF} bytes, more than any update here has")
        self._answer = from_body(self._lesson, name, peek(caller, at, length))

    # -- the end -----------------------------------------------------------------------------------

    def finish(self, told: Words, stdout: bytes) -> Words:
        """What the worker tells of this end. `detail` is what stays on the device."""
        self._samples.close()
        code = told.get("exit")
        if told.get("ok") is True and self._imports:
            code = _status(told.get("result"))
        if code == DECLINED:
            return {"ok": False, "exit": DECLINED, "error": "declined: it has nothing to train on"}
        if told.get("ok") is not True:
            detail = str(told.get("error", ""))
            if told.get("refused"):
                return {"ok": False, "exit": code, "error": detail}
            words = "failed: it trapped" if code is None else "failed: by its exit status"
            return {"ok": False, "exit": code, "error": words, "detail": detail}
        if code:
            return {"ok": False, "exit": code, "error": "failed: by its exit status",
                    "detail": f"{self._lesson.step}() returned {code}"}  # fmt: skip
        try:
            return {"ok": True, "exit": 0, "fl": self._result(stdout)}
        except Refusal as error:
            return {"ok": False, "exit": 0, "error": str(error)}

    def _result(self, stdout: bytes) -> dict[str, object]:
        lesson = self._lesson
        if lesson.step == "evaluate":
            if not self._imports:
                self._said = read_metrics(stdout, self._metrics)
            texts = self._metrics.texts()
            if not texts:
                raise Refusal("rejected: an evaluation without a metric")
            return measured(texts, self._said or self._counted())
        if not self._imports:
            self._answer = read_update(lesson, stdout, self._metrics)
            self._said = self._answer.samples
            self._steps = self._answer.steps
        if self._answer is None:
            raise Refusal("rejected: train() came back without submit")
        made = encoded(lesson, self._answer, self._steps)
        (self._directory / UPDATE_FILE).write_bytes(cast(bytes, made.pop("body")))
        left = cast("bytes | None", made.pop("left"))
        if left is not None:
            (self._directory / LEFT_FILE).write_bytes(left)
        return {
            **made,
            "feedback": left is not None,
            "steps": self._steps,
            "samples": self._said or self._counted(),
            "assumed": self.assumed,
            # What was measured on the data has no noise on it: with noise it stays here.
            "metrics": {} if lesson.veil and lesson.veil.multiplier else self._metrics.texts(),
        }


def _status(result: object) -> int:
    """What `train` returned, as an exit status; a function that returns nothing went well."""
    if result in (None, ""):
        return 0
    try:
        value = float(str(result))
    except ValueError:
        return 1
    return int(value) if math.isfinite(value) and value == int(value) else 1
