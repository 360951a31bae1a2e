"""Bech32 (BIP 173): how age spells its keys. Text in and out, no cryptography."""

from __future__ import annotations

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECK = 6


def encode(prefix: str, data: bytes) -> str:
    """`data` under a lower-case prefix."""
    digits = _regroup(data, 8, 5, pad=True)
    spread = _spread(prefix)
    rest = _polymod([*spread, *digits, *([0] * _CHECK)]) ^ 1
    check = [(rest >> 5 * (_CHECK - 1 - at)) & 31 for at in range(_CHECK)]
    return prefix + "1" + "".join(_ALPHABET[digit] for digit in (*digits, *check))


def decode(prefix: str, text: str) -> bytes:
    """The inverse, in either case but not mixed. Raises ValueError."""
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case mixed")
    head, one, tail = text.lower().rpartition("1")
    if not one or head != prefix or len(tail) < _CHECK:
        raise ValueError(f"does not begin with {prefix}1")
    if any(letter not in _ALPHABET for letter in tail):
        raise ValueError("a letter that is none of bech32's")
    digits = [_ALPHABET.index(letter) for letter in tail]
    if _polymod([*_spread(prefix), *digits]) != 1:
        raise ValueError("its checksum does not match")
    return bytes(_regroup(digits[:-_CHECK], 5, 8, pad=False))


def _spread(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _polymod(digits: list[int]) -> int:
    check = 1
    for digit in digits:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ digit
        for at, part in enumerate(_GENERATOR):
            check ^= part if (top >> at) & 1 else 0
    return check


def _regroup(digits: bytes | list[int], wide: int, narrow: int, *, pad: bool) -> list[int]:
    """Groups of `wide` bits as groups of `narrow`."""
    rest = bits = 0
    out = []
    for digit in digits:
        rest = rest << wide | digit
        bits += wide
        while bits >= narrow:
            bits -= narrow
            out.append(rest >> bits & (1 << narrow) - 1)
        rest &= (1 << bits) - 1
    if pad and bits:
        out.append(rest << narrow - bits & (1 << narrow) - 1)
    elif not pad and (bits >= wide or rest):
        raise ValueError("loose bits at its end")
    return out
