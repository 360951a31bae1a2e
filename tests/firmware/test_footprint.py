"""The table of sizes is made of the linker's map."""

from __future__ import annotations

import importlib.util

from cbuild import FIRMWARE

MAP = """
Discarded input sections
 .text.gone     0x00000000       0x40 modules/proplet/libproplet.a(agent.c.obj)

Linker script and memory map
 .text.pp_agent_tick
                0x00001000      0x120 modules/proplet/libproplet.a(agent.c.obj)
 .text.run      0x00001120       0x20 modules/proplet/libproplet.a(wamr.c.obj)
 .rodata.x      0x00001140       0x08 zephyr/libzephyr.a(shell.c.obj)
 .data.y        0x20000000       0x10 zephyr/libzephyr.a(shell.c.obj)
 .bss.pool      0x20000010     0x1000 app/libapp.a(main.c.obj)
 .debug_info    0x00000000     0x9999 app/libapp.a(main.c.obj)
 .text.start    0x00001148       0x04 zephyr/crt.o
"""


def test_sizes_are_counted_by_component() -> None:
    """Start values count twice, discarded and debugging sections not at all."""
    path = FIRMWARE / "tools" / "footprint.py"
    spec = importlib.util.spec_from_file_location("footprint", path)
    assert spec is not None
    assert spec.loader is not None
    footprint = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(footprint)
    flash, ram = footprint.measure(MAP)
    wanted = {"proplet: core": 0x120, "proplet: engine": 0x20, "zephyr": 0x18, "the rest": 4}
    assert (dict(flash), dict(ram)) == (wanted, {"zephyr": 0x10, "app": 0x1000})


def test_a_file_of_the_firmware_can_be_told_by_its_name() -> None:
    """The map names no folders: two files of one name in one image would count as one component."""
    ports = ("core", "engine", "engine/wamr", "fl", "port/zephyr")
    names = [path.name for room in ports for path in (FIRMWARE / room).glob("*.c")]
    assert len(names) > 40
    assert sorted(names) == sorted({*names})
