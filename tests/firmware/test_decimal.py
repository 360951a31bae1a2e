"""Doubles and floats as text in C without a libc's help: what Python reads and writes, exactly."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from pathlib import Path

import pytest
from cbuild import FIRMWARE, compile_to

from proplet.runtime.values import shortest_f32

EDGES = (
    0.0, 1.0, 0.1, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308,
    9007199254740993.0, 1e16, 1e15, 123456789012345680.0, 1e22, 1e23, 0.0001, 0.00001, 9.5,
    2.0**-1074, 2.0**-1022, 2.0**1023, 2.0**52, 3.4028234663852886e38, 1.401298464324817e-45,
)  # fmt: skip


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code as a library."""
    place = tmp_path_factory.mktemp("decimal")
    sources = [FIRMWARE / "engine" / name for name in ("decimal.c", "values.c")]
    flags = ("-O1", "-shared", "-fPIC", "-I", str(FIRMWARE / "engine"))
    loaded = ctypes.CDLL(str(compile_to(Path(place / "values.so"), sources, *flags, libs=["-lm"])))
    loaded.proplet_value_write.restype = ctypes.c_size_t
    loaded.proplet_decimal_read.restype = ctypes.c_bool
    return loaded


def _write(lib: ctypes.CDLL, kind: str, bits: int) -> str:
    text = ctypes.create_string_buffer(64)
    letter = ctypes.c_char(kind.encode())
    lib.proplet_value_write(letter, ctypes.c_uint64(bits), text, ctypes.c_size_t(64))
    return text.value.decode()


def _read(lib: ctypes.CDLL, text: str) -> float | None:
    value = ctypes.c_double()
    took = lib.proplet_decimal_read(text.encode(), ctypes.byref(value))
    return value.value if took else None


def _doubles(count: int) -> list[float]:
    rng = random.Random(7)
    drawn = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(count)]
    near = [rng.uniform(-1e6, 1e6) for _ in range(count)]
    return [*EDGES, *(-value for value in EDGES), *drawn, *near]


def test_a_double_is_written_as_python_writes_it(lib: ctypes.CDLL) -> None:
    """The fewest digits that read back the same, in the same notation."""
    for value in _doubles(2_000):
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        assert _write(lib, "F", bits) == repr(value), value.hex()


def test_a_float_is_written_with_the_digits_of_a_float(lib: ctypes.CDLL) -> None:
    """Not with those of the double that is equal to it."""
    rng = random.Random(8)
    for raw in [1, 0x7F7FFFFF, 0x00800000, *(rng.getrandbits(32) for _ in range(4_000))]:
        value = struct.unpack("<f", struct.pack("<I", raw))[0]
        assert _write(lib, "f", raw) == shortest_f32(value), hex(raw)


def test_text_is_read_as_python_reads_it(lib: ctypes.CDLL) -> None:
    """To the nearest double, ties to even, whatever the number of digits."""
    rng = random.Random(9)
    texts = [repr(value) for value in _doubles(500)]
    texts += [f"{value:.25e}" for value in _doubles(500) if math.isfinite(value)]
    texts += [
        "".join(rng.choices("0123456789", k=rng.randint(1, 130)))
        + f".{rng.getrandbits(40)}e{rng.randint(-400, 300)}"
        for _ in range(1_500)
    ]
    texts += ["9007199254740992.99999999999999999999999", "9007199254740993", "1e400", "1e-400"]
    texts += [
        "1" + "0" * 308,
        "0." + "0" * 323 + "3",
        "+.5",
        "5.",
        "INF",
        "-Infinity",
        "0e999999999",
    ]
    for text in texts:
        read = _read(lib, text)
        assert read is not None, text
        wanted = float(text)
        assert read == wanted or (math.isnan(read) and math.isnan(wanted)), text


@pytest.mark.parametrize(
    "text", ["", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "1_0", "nanx", "- 1", "1 "]
)
def test_what_is_no_number_is_refused(lib: ctypes.CDLL, text: str) -> None:
    """Whole texts count, not their beginnings."""
    assert _read(lib, text) is None
