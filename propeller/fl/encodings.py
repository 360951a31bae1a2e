"""Bodies of updates: from a delta to bytes and back, by the names of `wire.updates.ENCODINGS`.

A body decodes to the delta, f32 in layout order, whatever it was sent as. Readers believe nothing:
the length is exact, indices rise and stay below P, scales are finite and not negative, and a value
that is not finite is refused. Quantised forms round stochastically with numbers that are given (the
mean of what is sent is the value); top-k forms keep what they left out for the next round.

Sources: QSGD (Alistarh et al. 2017) for stochastic rounding, Stich et al. 2018 for error feedback;
blocks of 1024 with a scale each are ours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout

Vector = NDArray[np.float32]

BLOCK: Final = 1024
"""Elements that share a scale in q8-delta and q4-delta."""

JSON_BYTES_EACH: Final = 32
JSON_ROOM: Final = 64 * 1024
_MAX_F32 = float(np.finfo(np.float32).max)


class Uniform(Protocol):
    """Where stochastic rounding takes its numbers: `numpy.random.Generator` is one."""

    def random(self, size: int, dtype: type[np.float32]) -> Vector:
        """`size` numbers in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A body, and what it left out (top-k) for `error` of the next round; None where nothing is."""

    body: bytes
    error: Vector | None = None


def largest(encoding: str, count: int) -> int:
    """The most bytes a body of `count` elements can have: known before any of them is read."""
    blocks = -(-count // BLOCK)
    match encoding:
        case "f32-delta" | "f32-full":
            return 4 * count
        case "f16-delta" | "bf16-delta":
            return 2 * count
        case "q8-delta":
            return 4 * blocks + count
        case "q4-delta":
            return 4 * blocks + _nibble_bytes(count)
        case "topk-f32":
            return 4 + 8 * count
        case "topk-f16-bitmap":
            return (count + 7) // 8 + 2 * count
        case "secagg-u32":
            return 4 * (count + 1)
        case "f64-partial":
            return 8 * (count + 1)
        case "json-f64":
            return JSON_ROOM + JSON_BYTES_EACH * count
        case _:
            raise Refusal(Why.WRONG_FORMAT, f"no encoding is called {encoding[:40]!r}")


def encode(
    encoding: str,
    delta: Vector,
    *,
    base: Vector | None = None,
    layout: Layout | None = None,
    uniform: Uniform | None = None,
    keep: int = 0,
    error: Vector | None = None,
) -> Sent:
    """`delta` (shape (P,)) as a body.

    base: for f32-full. layout: for json-f64, whose tensors it names. uniform: for q8-delta and
    q4-delta. keep: elements a top-k form sends; error: what the last one left out. Raises Refusal
    (not-finite, wrong-format).
    """
    if not np.isfinite(delta).all():
        raise Refusal(Why.NOT_FINITE, "a delta with a NaN or an infinity")
    match encoding:
        case "f32-delta":
            return Sent(delta.astype("<f4").tobytes())
        case "f32-full":
            assert base is not None, "f32-full is the sum of base and delta"
            return Sent(_finite(_plus(base, delta)).astype("<f4").tobytes())
        case "f16-delta":
            return Sent(_halves(delta).tobytes())
        case "bf16-delta":
            return Sent(_brain(delta).tobytes())
        case "q8-delta" | "q4-delta":
            assert uniform is not None, "stochastic rounding needs numbers"
            return Sent(_quantised(delta, uniform, levels=127 if encoding == "q8-delta" else 7))
        case "topk-f32" | "topk-f16-bitmap":
            return _top(encoding, delta, keep, error)
        case "json-f64":
            assert layout is not None, "json-f64 names its tensors"
            return Sent(_json(delta, layout))
        case _:
            raise Refusal(Why.WRONG_FORMAT, f"{encoding[:40]!r} does not encode a delta")


def decode(encoding: str, body: bytes, *, layout: Layout, base: Vector | None = None) -> Vector:
    """The delta in a body, f32, shape (P,). base: what f32-full and full JSON weights began from;
    None is zeros. Raises Refusal with the word for its counter."""
    count = layout.count
    if len(body) > largest(encoding, count):
        raise Refusal(Why.WRONG_SIZE, f"{len(body)} bytes, at most {largest(encoding, count)}")
    match encoding:
        case "f32-delta" | "f32-full":
            _exact(body, 4 * count)
            found = np.frombuffer(body, "<f4").astype(np.float32)
            if encoding == "f32-full":
                _finite(found)
                found = _minus(found, base)
        case "f16-delta":
            _exact(body, 2 * count)
            found = np.frombuffer(body, "<f2").astype(np.float32)
        case "bf16-delta":
            _exact(body, 2 * count)
            upper = np.frombuffer(body, "<u2").astype(np.uint32) << np.uint32(16)
            found = upper.view(np.float32)
        case "q8-delta":
            found = _unquantised(body, count, bits=8)
        case "q4-delta":
            found = _unquantised(body, count, bits=4)
        case "topk-f32":
            found = _untop(body, count)
        case "topk-f16-bitmap":
            found = _unbitmap(body, count)
        case "json-f64":
            found = decode_json(body, layout=layout, base=base)
        case _:
            raise Refusal(Why.WRONG_FORMAT, f"{encoding} holds no delta")
    return _finite(found)


def decode_json(body: bytes, *, layout: Layout, base: Vector | None = None) -> Vector:
    """The delta of `{"tensors": {name: nested lists}}`, of `{"w": [...], "b": x}` where the layout
    is that, or of a flat list of numbers; full weights with `"kind": "full"` beside them."""
    document = _parsed(body)
    kind = "delta"
    if isinstance(document, dict):
        kind = document.get("kind", "delta")
        if kind not in ("delta", "full"):
            raise Refusal(Why.MALFORMED, "kind is full or delta")
    flat = _flattened(document, layout)
    numbers = np.array(flat, dtype=np.float64)
    if not np.isfinite(numbers).all() or (np.abs(numbers) > _MAX_F32).any():
        raise Refusal(Why.NOT_FINITE, "a number that is not finite as f32")
    if kind == "full":
        start = np.zeros(layout.count) if base is None else base.astype(np.float64)
        with np.errstate(over="ignore"):
            return np.asarray(numbers - start, dtype=np.float32)
    return numbers.astype(np.float32)


# -- halves ------------------------------------------------------------------------------------


def _halves(delta: Vector) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        found = delta.astype("<f2")
    if not np.isfinite(found).all():
        raise Refusal(Why.NOT_FINITE, "a value above 65504 does not fit f16")
    return found


def _brain(delta: Vector) -> NDArray[np.uint16]:
    """The upper halves of the numbers, rounded to nearest even."""
    bits = delta.astype("<f4").view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    found = rounded.astype("<u2")
    if ((found & 0x7F80) == 0x7F80).any():
        raise Refusal(Why.NOT_FINITE, "a value that rounds to infinity as bf16")
    return found


# -- blocks with a scale -------------------------------------------------------------------------


def _quantised(delta: Vector, uniform: Uniform, *, levels: int) -> bytes:
    """Per block a scale s = max|x| / levels, then floor(x / s + U) in -levels..levels."""
    out = bytearray()
    for at in range(0, len(delta), BLOCK):
        part = delta[at : at + BLOCK]
        scale = np.float32(np.abs(part).max() / np.float32(levels))
        drawn = uniform.random(len(part), np.float32)
        if scale > 0:
            raw = np.floor(part.astype(np.float64) / np.float64(scale) + drawn)
            whole = np.clip(raw, -levels, levels).astype(np.int8)
        else:
            scale, whole = np.float32(0), np.zeros(len(part), np.int8)
        out += scale.astype("<f4").tobytes()
        out += whole.tobytes() if levels == 127 else _nibbles(whole)
    return bytes(out)


def _nibbles(whole: NDArray[np.int8]) -> bytes:
    """Two's complement, the first of a pair in the low half; an odd end has a zero above."""
    padded = np.zeros(len(whole) + len(whole) % 2, np.uint8)
    padded[: len(whole)] = whole.view(np.uint8) & 0x0F
    return (padded[0::2] | (padded[1::2] << 4)).astype(np.uint8).tobytes()


def _nibble_bytes(count: int) -> int:
    full, rest = divmod(count, BLOCK)
    return full * BLOCK // 2 + (rest + 1) // 2


def _unquantised(body: bytes, count: int, *, bits: int) -> Vector:
    out = np.empty(count, np.float32)
    at = 0
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        size = 4 + (n if bits == 8 else (n + 1) // 2)
        part = body[at : at + size]
        _exact(part, size)
        at += len(part)
        scale = np.frombuffer(part, "<f4", 1)[0]
        if not np.isfinite(scale) or scale < 0 or (scale == 0 and np.signbit(scale)):
            raise Refusal(Why.MALFORMED, "a scale that is negative or not finite")
        raw = np.frombuffer(part, np.uint8, offset=4)
        if bits == 8:
            whole = raw.view(np.int8)
            low = -127
        else:
            if n % 2 and raw[-1] >> 4:
                raise Refusal(Why.MALFORMED, "a nibble after the end")
            both = np.empty(2 * len(raw), np.uint8)
            both[0::2], both[1::2] = raw & 0x0F, raw >> 4
            whole = ((both[:n].astype(np.int8) ^ 8) - 8).astype(np.int8)
            low = -7
        if (whole < low).any():
            raise Refusal(Why.MALFORMED, f"a level below {low}")
        with np.errstate(over="ignore"):  # `decode` refuses what became infinite
            out[start : start + n] = whole.astype(np.float32) * np.float32(scale)
    _exact(body, at)
    return out


# -- the largest few -----------------------------------------------------------------------------


def _top(encoding: str, delta: Vector, keep: int, error: Vector | None) -> Sent:
    """The `keep` largest of delta + error, ties by index; the rest is the next error."""
    if not 0 < keep <= len(delta):
        raise Refusal(Why.WRONG_FORMAT, f"keep {keep} of {len(delta)} elements")
    whole = delta if error is None else _finite(_plus(delta, error))
    order = np.lexsort((np.arange(len(whole)), -np.abs(whole)))
    chosen = np.sort(order[:keep])
    if encoding == "topk-f32":
        sent = whole[chosen].astype("<f4")
        body = (
            np.uint32(keep).astype("<u4").tobytes()
            + chosen.astype("<u4").tobytes()
            + sent.tobytes()
        )
        got = sent.astype(np.float32)
    else:
        half = _halves(whole[chosen])
        mask = np.zeros(len(whole), np.uint8)
        mask[chosen] = 1
        body = np.packbits(mask, bitorder="little").tobytes() + half.tobytes()
        got = half.astype(np.float32)
    left = whole.copy()
    left[chosen] -= got
    return Sent(body, left)


def _untop(body: bytes, count: int) -> Vector:
    if len(body) < 4:
        raise Refusal(Why.WRONG_SIZE, "shorter than its count")
    k = int(np.frombuffer(body, "<u4", 1)[0])
    if k > count:
        raise Refusal(Why.MALFORMED, f"{k} of {count} elements")
    _exact(body, 4 + 8 * k)
    where = np.frombuffer(body, "<u4", k, offset=4).astype(np.int64)
    if k and (where[-1] >= count or (np.diff(where) <= 0).any()):
        raise Refusal(Why.MALFORMED, "indices do not rise, or leave the model")
    out = np.zeros(count, np.float32)
    out[where] = np.frombuffer(body, "<f4", k, offset=4 + 4 * k)
    return out


def _unbitmap(body: bytes, count: int) -> Vector:
    head = (count + 7) // 8
    if len(body) < head:
        raise Refusal(Why.WRONG_SIZE, "shorter than its bitmap")
    bits = np.unpackbits(np.frombuffer(body, np.uint8, head), bitorder="little")
    if bits[count:].any():
        raise Refusal(Why.MALFORMED, "a bit after the end")
    where = np.flatnonzero(bits[:count])
    _exact(body, head + 2 * len(where))
    out = np.zeros(count, np.float32)
    out[where] = np.frombuffer(body, "<f2", offset=head).astype(np.float32)
    return out


# -- JSON ----------------------------------------------------------------------------------------


def _json(delta: Vector, layout: Layout) -> bytes:
    tensors = {
        tensor.name: delta[at : at + tensor.count].astype(float).reshape(tensor.shape).tolist()
        for tensor, at in layout.offsets
    }
    return json.dumps({"tensors": tensors}, sort_keys=True, separators=(",", ":")).encode()


def _parsed(body: bytes) -> object:
    def refuse(name: str) -> float:
        raise Refusal(Why.NOT_FINITE, f"the number {name}")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refusal(Why.MALFORMED, f"no JSON: {error}") from error


def _flattened(document: object, layout: Layout) -> list[float]:
    if isinstance(document, list):
        return _numbers(document, layout.count, "the list")
    if not isinstance(document, dict):
        raise Refusal(Why.MALFORMED, "neither a list nor a mapping")
    tensors = document.get("tensors")
    if tensors is None:
        tensors = {name: value for name, value in document.items() if name in ("w", "b")}
    if not isinstance(tensors, dict) or set(tensors) != {one.name for one in layout.tensors}:
        raise Refusal(Why.WRONG_LAYOUT, "tensors of other names than the layout's")
    out: list[float] = []
    for tensor in layout.tensors:
        flat = _unnested(tensors[tensor.name], tensor.shape, tensor.name)
        out += _numbers(flat, tensor.count, tensor.name)
    return out


def _unnested(value: object, shape: tuple[int, ...], name: str) -> list[object]:
    if not shape:
        return [value]
    if not isinstance(value, list) or len(value) != shape[0]:
        raise Refusal(Why.WRONG_SIZE, f"{name}: not of shape {shape}")
    if len(shape) == 1:
        return value
    return [leaf for row in value for leaf in _unnested(row, shape[1:], name)]


def _numbers(values: list[object], count: int, name: str) -> list[float]:
    if len(values) != count:
        raise Refusal(Why.WRONG_SIZE, f"{name}: {len(values)} numbers, expected {count}")
    out: list[float] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal(Why.MALFORMED, f"{name}: a {type(value).__name__} is no number")
        try:
            out.append(float(value))
        except OverflowError:
            raise Refusal(Why.NOT_FINITE, f"{name}: a number beyond f64") from None
    return out


# -- checks --------------------------------------------------------------------------------------


def _exact(body: bytes, size: int) -> None:
    if len(body) != size:
        raise Refusal(Why.WRONG_SIZE, f"{len(body)} bytes, expected {size}")


def _finite(found: Vector) -> Vector:
    # A dot product is not finite if any element is not; the slow look is for the rare large one.
    with np.errstate(over="ignore", invalid="ignore"):
        probe = float(np.dot(found, found))
    if not math.isfinite(probe) and not np.isfinite(found).all():
        raise Refusal(Why.NOT_FINITE, "a NaN or an infinity")
    return found


def _minus(full: Vector, base: Vector | None) -> Vector:
    """f32(f64(y) - f64(x)): one rounding."""
    if base is None:
        return full
    with np.errstate(over="ignore"):
        return np.asarray(full.astype(np.float64) - base.astype(np.float64), dtype=np.float32)


def _plus(one: Vector, other: Vector) -> Vector:
    with np.errstate(over="ignore"):
        return np.asarray(one + other, dtype=np.float32)
