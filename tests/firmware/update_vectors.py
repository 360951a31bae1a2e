"""Writes `firmware/tests/vectors/updates.json`: `python tests/firmware/update_vectors.py`.

What the Linux side makes of a round: bodies in every encoding that the firmware makes, signed
envelopes, models and layouts, and the chance that comes from a seed. The C side must make the same
bytes, and refuse in the same words where words are given.
"""

from __future__ import annotations

import hmac
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from propeller.errors import PropellerError  # noqa: E402  found by the path set above
from propeller.fl.encodings import decode, encode  # noqa: E402
from propeller.fl.layout import Layout, Tensor  # noqa: E402
from propeller.fl.model import write_model  # noqa: E402
from propeller.wire.signing import SigningKey  # noqa: E402
from propeller.wire.updates import (  # noqa: E402
    ENCODINGS,
    NONE,
    Flag,
    Update,
    pack,
    signed_bytes,
    update_id,
)
from proplet.runtime.virtual import Dice  # noqa: E402

FILE = "firmware/tests/vectors/updates.json"
SEED = bytes.fromhex("0102030405060708")
MADE = ("f32-delta", "f32-full", "q8-delta", "q4-delta")
NAMES = ("loss", "accuracy", "_private", "7th", "a.b-c", "seconds", "norm2", "x" * 64)
VALUES = (0.1, 1e-7, 100.0, 1e16, -2.5, 5e-324, 1.7976931348623157e308, 0.0)


def _floats(count: int, seed: int, scale: float) -> np.ndarray:
    draw = np.random.Generator(np.random.Philox(key=seed))
    return (draw.standard_normal(count) * scale).astype(np.float32)


def _arrays() -> dict[str, np.ndarray]:
    """Numbers by name; those of one length go together."""
    found: dict[str, np.ndarray] = {}
    for count in (1, 7, 1024, 1501):
        found[f"base{count}"] = _floats(count, count, 1.0)
        found[f"full{count}"] = found[f"base{count}"] + _floats(count, count + 1, 0.01)
        found[f"delta{count}"] = _floats(count, count + 2, 0.02)
    odd = np.array([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0], np.float32)
    found["odd7"], found["zeros7"] = odd, np.zeros(7, np.float32)
    found["small7"] = np.array([1e-45, 0, 3e-44, -2e-44, 0, 1e-44, -1e-45], np.float32)
    found["nan7"] = np.array([1, 2, np.nan, 4, 5, 6, 7], np.float32)
    found["inf7"] = np.array([1, 2, 3, 4, -np.inf, 6, 7], np.float32)
    return found


def uniform() -> np.random.Generator:
    """As `proplet.runtime.answers.encoded` draws."""
    key = hmac.digest(SEED, b"propeller-fl-rounding-v1", "sha256")
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


def _case(given: str, name: str, body: bytes, base: np.ndarray | None, to: str) -> dict[str, str]:
    layout = Layout.flat(_count(given, len(body)))
    start = np.zeros(layout.count, np.float32) if base is None else base
    case = {"given": given, "to": to}
    try:
        delta = decode(given, body, layout=layout, base=start)
        made = encode(to, delta, base=start, layout=layout, uniform=uniform()).body
    except PropellerError as error:
        return {**case, "wrong": error.what}
    return {**case, "body": (body if given == to else made).hex()}


def _count(encoding: str, size: int) -> int:
    if encoding.startswith("f32"):
        return size // 4
    assert encoding == "q8-delta" or size == 8, "of one block"
    return size - 4 if encoding == "q8-delta" else 7


def bodies() -> tuple[dict[str, str], list[dict[str, object]]]:
    """The numbers, and what becomes of them."""
    arrays = _arrays()
    cases: list[dict[str, object]] = []
    for count in ("1", "7", "1024", "1501"):
        base = arrays[f"base{count}"]
        for given, name in (("f32-full", f"full{count}"), ("f32-delta", f"delta{count}")):
            for to in MADE:
                case = _case(given, name, arrays[name].tobytes(), base, to)
                cases.append({**case, "numbers": name, "base": f"base{count}"})
    for name in ("odd7", "zeros7", "small7", "nan7", "inf7"):
        for given in ("f32-delta", "f32-full"):
            for to in MADE:
                case = _case(given, name, arrays[name].tobytes(), None, to)
                cases.append({**case, "numbers": name})
    far = np.full(7, -3e38, np.float32)
    arrays["far7"] = far
    case = _case("f32-full", "odd7", arrays["odd7"].tobytes(), far, "q8-delta")
    cases.append({**case, "numbers": "odd7", "base": "far7"})
    raw = {
        "q8": np.float32(0.5).tobytes() + bytes((0, 1, 127, 129, 255, 3, 4)),
        "q8low": np.float32(0.5).tobytes() + bytes((0, 1, 127, 128, 255, 3, 4)),
        "q8minus": np.float32(-0.5).tobytes() + bytes(7),
        "q8nan": np.float32(np.nan).tobytes() + bytes(7),
        "q8far": np.float32(3e38).tobytes() + bytes((1, 2, 3, 4, 5, 6, 7)),
        "q4": np.float32(0.25).tobytes() + bytes((0x10, 0x97, 0xF2, 0x03)),
        "q4low": np.float32(0.25).tobytes() + bytes((0x18, 0x97, 0xF2, 0x03)),
        "q4end": np.float32(0.25).tobytes() + bytes((0x10, 0x97, 0xF2, 0x13)),
    }
    for name, body in raw.items():
        for to in MADE:
            given = "q8-delta" if name.startswith("q8") else "q4-delta"
            cases.append({**_case(given, name, body, None, to), "numbers": name})
    told = {name: array.tobytes().hex() for name, array in arrays.items()}
    return {**told, **{name: body.hex() for name, body in raw.items()}}, cases


def envelopes() -> list[dict[str, object]]:
    """Updates as the Linux agent signs them. Ed25519: one signature for one message."""
    key = SigningKey.from_seed(bytes(range(32)))
    out: list[dict[str, object]] = []
    for told, (encoding, body) in enumerate(
        (("q8-delta", bytes(range(11))), ("f32-full", bytes(28)), ("q4-delta", b"\1" * 8))
    ):
        names = NAMES[: (0, len(NAMES), 3)[told]]
        metrics = dict(zip(names, VALUES, strict=False))
        base = "" if told == 1 else "sha256:" + "ab" * 32
        layout = "" if told == 1 else "sha256:" + "cd" * 32
        module = "sha256:" + "ef" * 32
        update = Update(
            encoding=encoding,
            flags=Flag.FULL if encoding == "f32-full" else NONE,
            job=bytes(range(16)),
            round=told + 1,
            attempt=told * 70000 + 1,
            steps=told * 12345,
            samples=7 + (told << 40),
            count=7,
            base=base,
            layout=layout,
            meta={**{name: repr(value) for name, value in metrics.items()}, "@module": module},
            body=body,
            signature=bytes(64),
        )
        nonce = f"{told:032x}"
        text = signed_bytes(update_id(pack(update)), nonce)
        signed = pack(update)[:-64] + key.sign(text)
        out.append(
            {
                "encoding": ENCODINGS[encoding],
                "job": update.job.hex(),
                "nonce": nonce,
                "round": update.round,
                "attempt": update.attempt,
                "steps": update.steps,
                "samples": update.samples,
                "count": 7,
                "base": base.removeprefix("sha256:") or "00" * 32,
                "layout": layout.removeprefix("sha256:") or "00" * 32,
                "module": module.removeprefix("sha256:"),
                # the bits of the numbers, in an order of their own
                "metrics": [
                    {"name": name, "bits": np.float64(metrics[name]).tobytes()[::-1].hex()}
                    for name in reversed(names)
                ],
                "body": body.hex(),
                "update": signed.hex(),
                "measured": json.dumps(
                    {
                        "metrics": {name: repr(metrics[name]) for name in sorted(metrics)},
                        "samples": update.samples,
                    },
                    sort_keys=True,
                    separators=(",", ":"),
                ),
            }
        )
    return out


def models() -> list[dict[str, object]]:
    """Model files: where the parameters begin, how many, the digest of the layout; or `wrong`."""
    two = Layout.of(Tensor("w", (2, 3)), Tensor('b "\\é', (), trainable=False, aggregate="local"))
    late = Layout.of(Tensor("A", (1,)), Tensor("z{[,", (2,)))
    good = [
        (layout, write_model(layout, np.arange(layout.count, dtype=np.float32)))
        for layout in (Layout.flat(5), two, late)
    ]
    out: list[dict[str, object]] = []
    for layout, file in good:
        begins = len(file) - 4 * layout.count
        out.append(
            {
                "file": file.hex(),
                "at": begins,
                "count": layout.count,
                "layout": layout.digest.removeprefix("sha256:"),
                "manifest": layout.to_json().hex(),
            }
        )
    file = good[1][1]
    plain = file.replace(b"__metadata__", b"__METADATA__")
    out.append({"file": plain.hex(), "at": len(file) - 28, "count": 7})
    broken = {
        "empty": b"",
        "cut in its length": file[:6],
        "cut in its header": file[:40],
        "a byte too many": file + b"\0",
        "a header longer than the file": b"\xff\xff\0\0\0\0\0\0" + file[8:],
        "a header without end": (len(file) - 8).to_bytes(8, "little") + file[8:],
        "no object": file[:8] + file[8:].replace(b"{", b"[", 1),
        "one more parameter than the layout": file + bytes(4),
        "a layout that is spelled otherwise": file.replace(rb"[2,3]", rb"[3,2 ]", 1),
        "a layout of another version": file.replace(rb"\"v\":1}", rb"\"v\":2}"),
        "a layout of f16": file.replace(rb"\"F32\"", rb"\"F16\"", 1),
        "a layout of another size": file.replace(rb"\"shape\":[2,3]", rb"\"shape\":[2,4]"),
        "a shape of 0": file.replace(rb"\"shape\":[2,3]", rb"\"shape\":[2,0]"),
    }
    out += [{"file": data.hex(), "wrong": name} for name, data in broken.items()]
    return out


def chance() -> list[dict[str, object]]:
    """Bytes out of a seed, in pieces of these sizes."""
    out: list[dict[str, object]] = []
    for label in ("propeller-fl-rand-v1", "propeller-fl-random-v1"):
        dice = Dice(SEED, label.encode())
        sizes = (8, 8, 1, 100, 0, 31, 32)
        pieces = [dice.bytes(size).hex() for size in sizes]
        out.append({"label": label, "seed": SEED.hex(), "pieces": pieces})
    return out


def all_files() -> dict[str, str]:
    """Path in the repository -> text."""
    numbers, cases = bodies()
    whole: dict[str, object] = {
        "about": "What the Linux proplet makes of a round of federated learning.",
        "seed": SEED.hex(),
        "numbers": numbers,
        "bodies": cases,
        "envelopes": envelopes(),
        "models": models(),
        "chance": chance(),
    }
    lines = []
    for name, value in whole.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f" {json.dumps(name)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return {FILE: "{\n" + ",\n".join(lines) + "\n}\n"}


if __name__ == "__main__":
    for name, text in all_files().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
        print(name)
