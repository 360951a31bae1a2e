"""What an image of the Zephyr port costs, by component, out of the linker's map.

    python firmware/tools/footprint.py BUILD/zephyr/zephyr.map

Flash is code, constants and the start values of variables; RAM is everything at RAM addresses.
A component is an archive of the build; the proplet's own archive is split by its directories.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
RAM_FROM = 0x2000_0000
"""Where RAM begins on Cortex-M."""

_LINE = re.compile(r"^ ([.\w$*-]+)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$")
_ARCHIVE = re.compile(r"([\w.+-]+)\.a\(([\w.-]+?)(?:\.c)?\.(?:obj|o)\)")
_ZEROED = (".bss", "COMMON", ".noinit", "noinit", "PSRAM")


def part_of(where: str) -> str | None:
    """The component a line of the map belongs to, None where it is none."""
    found = _ARCHIVE.search(where)
    if found is None:
        return "the rest" if where.endswith((".obj", ".o")) else None
    archive, object_ = found[1].removeprefix("lib"), found[2]
    if archive != "proplet":
        return archive
    for room in ("core", "engine", "engine/wamr", "fl", "port/zephyr"):
        if (HERE / room / f"{object_}.c").exists():
            return f"proplet: {room.split('/')[0]}"
    return "proplet"


def measure(text: str) -> tuple[Counter[str], Counter[str]]:
    """Bytes of flash and of RAM by component."""
    flash: Counter[str] = Counter()
    ram: Counter[str] = Counter()
    name = ""
    for line in text.partition("Linker script and memory map")[2].splitlines():
        if re.match(r"^ \S+$", line):
            name = line.strip()  # a long name stands on a line of its own
            continue
        found = _LINE.match(line)
        section, name = (found[1] if found and found[1] else name), ""
        if found is None or section.startswith((".debug", ".comment", ".ARM.attributes")):
            continue
        address, size, part = int(found[2], 16), int(found[3], 16), part_of(found[4])
        if part is None or size == 0:
            continue
        if address >= RAM_FROM:
            ram[part] += size
        if address < RAM_FROM or not section.startswith(_ZEROED):
            flash[part] += size
    return flash, ram


def main() -> int:
    """Print both, the largest first."""
    flash, ram = measure(Path(sys.argv[1]).read_text())
    for part in sorted(flash | ram, key=lambda part: -flash[part]):
        print(f"{part:40}{flash[part]:9}{ram[part]:9}")  # noqa: T201  a table for people
    print(f"{'in all':40}{flash.total():9}{ram.total():9}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
