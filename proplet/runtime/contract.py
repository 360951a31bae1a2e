"""The contract with a plain WASI trainer: the variables it gets and the stdout it gives. Pure.

Called by `training` for a module that knows nothing of `propeller_fl`. docs/reference/
federated-guest.md is the page for people.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Never, cast

from proplet.runtime.answers import Answer, Metrics, checked_samples, from_body, from_numbers
from proplet.runtime.lesson import Lesson
from proplet.runtime.virtual import Refusal

MAX_ENV_MODEL = 256 * 1024
"""Bytes of base64 a model may be in the environment."""

ROOM, PER_PARAMETER = 64 * 1024, 32
"""Bytes of stdout: so many, and so many more for each parameter."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PARAMS = {
    "FL_LOCAL_EPOCHS": "localEpochs",
    "FL_BATCH_SIZE": "batchSize",
    "FL_LEARNING_RATE": "learningRate",
}


def most_output(lesson: Lesson, unknown: int) -> int:
    """Bytes of stdout an answer may take; `unknown` while the number of parameters is."""
    if lesson.count is None:
        return unknown
    return ROOM + PER_PARAMETER * lesson.count


def environment(lesson: Lesson, samples: int) -> list[tuple[str, str]]:
    """Everything the guest finds in its environment. Raises Refusal (ModelTooLargeForEnv)."""
    hyper = _hyperparameters(lesson.params)
    told = [
        ("FL_JOB_ID", lesson.job),
        ("FL_ROUND_ID", str(lesson.round)),
        ("FL_ATTEMPT", str(lesson.attempt)),
        ("FL_MODE", lesson.step),
        ("FL_PROPLET_ID", lesson.proplet),
        ("FL_GLOBAL_VERSION", lesson.version),
        ("FL_FORMAT", lesson.format),
        ("FL_NUM_SAMPLES", str(samples)),
        ("FL_HYPERPARAMS", hyper),
        ("FL_SEED", lesson.seed.hex()),
    ]
    params = dict(lesson.params)
    told += [(name, params[key]) for name, key in _PARAMS.items() if key in params]
    if lesson.base is not None and lesson.guest != "File":
        numbers = json.dumps(lesson.base.tolist(), separators=(",", ":"))
        text = base64.b64encode(numbers.encode()).decode()
        if len(text) > MAX_ENV_MODEL:
            raise Refusal(
                f"ModelTooLargeForEnv: {len(text)} bytes of base64, at most {MAX_ENV_MODEL}; "
                "use guest.model: File"
            )
        told += [("FL_GLOBAL_UPDATE_FORMAT", "json-f64"), ("FL_GLOBAL_UPDATE_B64", text)]
        told += _first_model(lesson)
    return [
        *told,
        ("ROUND_ID", str(lesson.round)),
        ("MODEL_URI", lesson.version),
        ("HYPERPARAMS", hyper),
        ("PROPLET_ID", lesson.proplet),
    ]


def _first_model(lesson: Lesson) -> list[tuple[str, str]]:
    """The first Propeller's form of a model, where it is one: a vector w and a number b."""
    if lesson.layout is None or lesson.base is None:
        return []
    shapes = {tensor.name: tuple(tensor.shape) for tensor in lesson.layout.tensors}
    if set(shapes) != {"w", "b"} or len(shapes["w"]) != 1 or shapes["b"] not in ((), (1,)):
        return []
    parts = _split(lesson)
    model = {"w": parts["w"], "b": parts["b"][0]}
    return [("MODEL_DATA", json.dumps(model, separators=(",", ":")))]


def _split(lesson: Lesson) -> dict[str, list[float]]:
    assert lesson.layout is not None and lesson.base is not None
    parts, at = {}, 0
    for tensor in lesson.layout.tensors:
        parts[tensor.name] = lesson.base[at : at + tensor.count].tolist()
        at += tensor.count
    return parts


def _hyperparameters(params: tuple[tuple[str, str], ...]) -> str:
    """A JSON object; text that is a number keeps its digits."""
    members = [
        f"{json.dumps(name)}:{value if _NUMBER.fullmatch(value) else json.dumps(value)}"
        for name, value in params
    ]
    return "{" + ",".join(members) + "}"


def read_update(lesson: Lesson, stdout: bytes, metrics: Metrics) -> Answer:
    """The update on stdout. Raises Refusal with what is wrong with it."""
    if lesson.format != "json-f64":
        answer = from_body(lesson, lesson.format, stdout)
        if lesson.count is None:
            # Any text of a length that divides by four would be numbers.
            size = len(stdout)
            raise Refusal(
                f"rejected: {size} bytes of stdout; without model or layout only json-f64 is taken"
            )
        return answer
    value = _json(stdout)
    if isinstance(value, list):
        return from_numbers(lesson, value, full=True)
    if not isinstance(value, dict) or "update" not in value:
        raise Refusal("rejected: stdout is neither a list of numbers nor an object with update")
    _check_ids(lesson, value)
    samples = _tell(value, metrics)
    kind = value.get("kind", "full")
    if kind not in ("full", "delta"):
        raise Refusal("rejected: kind is neither full nor delta")
    steps = value.get("steps", 0)
    if type(steps) is not int or not 0 <= steps < 1 << 32:
        raise Refusal("rejected: steps is not a whole number")
    update = value["update"]
    numbers = update if isinstance(update, list) else _flattened(lesson, update)
    answer = from_numbers(lesson, numbers, full=kind == "full")
    return Answer(delta=answer.delta, samples=samples, steps=steps)


def read_metrics(stdout: bytes, metrics: Metrics) -> int | None:
    """The answer of an evaluation: its samples. Raises Refusal."""
    value = _json(stdout)
    if not isinstance(value, dict) or not isinstance(value.get("metrics"), dict):
        raise Refusal("rejected: stdout is not an object with metrics")
    return _tell(value, metrics)


def _json(stdout: bytes) -> object:
    def no(name: str) -> Never:
        raise ValueError(f"{name} is not JSON")

    try:
        value: object = json.loads(stdout.decode(), parse_constant=no)
    except (ValueError, RecursionError):
        raise Refusal(f"rejected: {len(stdout)} bytes that are not one JSON value") from None
    return value


def _check_ids(lesson: Lesson, value: Mapping[str, object]) -> None:
    """The ids of the first Propeller's form, where they are given."""
    if "round_id" in value and str(value["round_id"]) != str(lesson.round):
        raise Refusal("rejected: round_id is that of another round")
    if "proplet_id" in value and value["proplet_id"] != lesson.proplet:
        raise Refusal("rejected: proplet_id is that of another proplet")


def _tell(value: Mapping[str, object], metrics: Metrics) -> int | None:
    told = value.get("metrics", {})
    if not isinstance(told, dict):
        raise Refusal("rejected: metrics is not an object")
    for name, number in told.items():
        if type(number) not in (int, float):
            raise Refusal("rejected: a metric that is no finite number")
        try:
            metrics.tell(name, float(cast(float, number)))
        except OverflowError:
            raise Refusal("rejected: a metric that is no finite number") from None
    return checked_samples(value["num_samples"]) if "num_samples" in value else None


def _flattened(lesson: Lesson, update: object) -> list[object]:
    """Numbers of named tensors, in layout order; without a layout only {w, b} has an order."""
    if not isinstance(update, dict):
        raise Refusal("rejected: update is neither a list nor an object")
    if lesson.layout is not None:
        names = [tensor.name for tensor in lesson.layout.tensors]
        counts = [tensor.count for tensor in lesson.layout.tensors]
        if len(names) == 1 and names[0] not in update and set(update) == {"w", "b"}:
            names, counts = ["w", "b"], []
    else:
        names, counts = ["w", "b"], []
    if set(update) != set(names):
        raise Refusal(f"rejected: the tensors of the update are not {', '.join(names)[:80]}")
    out: list[object] = []
    for at, name in enumerate(names):
        part = _flat(update[name])
        if counts and len(part) != counts[at]:
            raise Refusal(f"rejected: {len(part)} numbers in {name[:40]}, expected {counts[at]}")
        out += part
    return out


def _flat(value: object) -> list[object]:
    """Nested lists as one; a single number is a list of one."""
    if not isinstance(value, list):
        return [value]
    if not any(isinstance(each, list) for each in value):
        return value
    out: list[object] = []
    for each in value:
        out += _flat(each)
    return out
