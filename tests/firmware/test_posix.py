"""The parts of the posix port that stand by themselves: files, settings, keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cbuild import FIRMWARE, SANITIZED, Ran, compile_to, run
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from propeller.wire.boxes import BoxKey
from propeller.wire.signing import SigningKey

PORT = FIRMWARE / "port" / "posix"
FLAGS = (*SANITIZED, "-I", str(PORT), "-I", str(FIRMWARE / "engine"))

# Prints what settings say; signs nothing without a key.
SHOW = """
#include <stdio.h>
#include "settings.h"
#include "keys.h"
static struct settings s;
int main(int argc, char **argv)
{
	struct keys keys;
	if (!settings_read(&s, argc, argv)) {
		return 2;
	}
	printf("%s %s:%u %d ", s.id, s.host, s.port, s.tls);
	printf("%lu %lu %lu", (unsigned long)s.chunk, (unsigned long)s.heartbeat,
		(unsigned long)s.memory);
	for (unsigned i = 0; i < s.label_count; i++) {
		printf(" %s=%s", s.labels[i].name, s.labels[i].value);
	}
	for (size_t i = 0; i < s.points.slots.count; i++) {
		const struct proplet_point *p = &s.points.list[i];
		printf(" %s:%d:%g:%g:%g:%g:%g:%u", p->name, p->output, p->scale, p->offset, p->low,
			p->high, p->safe, p->rate);
	}
	printf(" %s", s.trust);
	if (s.data != NULL && keys_open(&keys, s.key, s.box_key, s.data)) {
		printf(" %s %s", keys.box_text, keys.text);
	}
	printf("\\n");
	return 0;
}
"""


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that reads settings and opens the key as proplet-posix does."""
    place = tmp_path_factory.mktemp("show")
    (place / "show.c").write_text(SHOW)
    sources = [place / "show.c", PORT / "settings.c", PORT / "keys.c", PORT / "pointfiles.c"]
    return compile_to(place / "show", sources, *FLAGS, libs=["-lyaml", "-lsodium", "-lm"])


def test_files_keep_their_promises(tmp_path: Path) -> None:
    """A record is the old one or the new one, and no byte of a blob is said to be there that a
    power cut may have taken."""
    sources = [FIRMWARE / "tests" / "test_posix_store.c", PORT / "store.c"]
    ran = run(compile_to(tmp_path / "store", sources, *FLAGS), str(tmp_path / "data"))
    assert ran.status == 0, ran.text
    assert re.search(r"^[1-9]\d+ checked, 0 failed$", ran.text, re.MULTILINE)


def _told(show: Path, tmp_path: Path, text: str, *flags: str) -> Ran:
    (tmp_path / "proplet.yaml").write_text(text)
    return run(show, "--config", str(tmp_path / "proplet.yaml"), "--data", str(tmp_path), *flags)


def test_the_file_of_the_linux_proplet_is_read_and_flags_stand_above_it(
    show: Path, tmp_path: Path
) -> None:
    """Paths are relative to the file, durations and sizes as there, and what is of no use here is
    passed over."""
    text = """
id: tank
broker: mqtts://[::1]:8883
trust: root.pub
boxKey: box.pem
mounts: {data: /srv}
heartbeat: 5m
memory: 2MiB
maxPayload: 1280
labels: {zone: north, board: mini}
sensors:
  temperature: /sys/t scale=0.001 offset=-3 unit=Cel
outputs: [fan=/sys/f min=10 max=100 scale=0.4 safe=60 rate=2]
"""
    more = ("--label", "zone=south", "--output-point", "lamp=/sys/l")
    ran = _told(show, tmp_path, text, "--heartbeat", "500ms", *more)
    assert ran.status == 0, ran.text
    wanted = f"tank ::1:8883 1 1024 500 {2 << 20} zone=south board=mini"
    wanted += " temperature:0:0.001:-3:0:1:0:1000 fan:1:0.4:0:10:100:60:2 lamp:1:1:0:0:1:0:1000"
    wanted += f" {tmp_path}/root.pub"
    assert ran.text.startswith(wanted)


def test_a_device_makes_a_key_once_and_takes_one_it_is_given(show: Path, tmp_path: Path) -> None:
    """The same PEM that Python writes and reads, either way."""
    text = "id: a\ntrust: root.pub\n"
    first = _told(show, tmp_path, text).text.split()[-1]
    assert _told(show, tmp_path, text).text.split()[-1] == first
    made = tmp_path / "device.pem"
    assert made.stat().st_mode & 0o077 == 0
    load_pem_private_key(made.read_bytes(), None)
    assert SigningKey.from_pem(made.read_bytes()).public.text == first
    given = SigningKey.generate(1)
    (tmp_path / "given.pem").write_bytes(given.to_pem())
    ran = _told(show, tmp_path, text + "key: given.pem\n")
    assert ran.text.split()[-1] == given.public.text


def test_an_encryption_key_stands_beside_it(show: Path, tmp_path: Path) -> None:
    """Made once, or the one it is given, as the Linux proplet has it; another kind is refused."""
    text = "id: a\ntrust: root.pub\n"
    first = _told(show, tmp_path, text).text.split()[-2]
    assert _told(show, tmp_path, text).text.split()[-2] == first
    made = tmp_path / "device.box.pem"
    assert made.stat().st_mode & 0o077 == 0
    assert BoxKey.from_pem(made.read_bytes()).public.text == first
    given = BoxKey.generate()
    (tmp_path / "box.pem").write_bytes(given.to_pem())
    assert _told(show, tmp_path, text + "boxKey: box.pem\n").text.split()[-2] == given.public.text
    ran = _told(show, tmp_path, text + "boxKey: device.pem\n")
    assert "not a private key X25519" in ran.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trust: a\n", "id: missing"),
        ("id: a\n", "trust: missing"),
        ("id: a\ntrust: b\nnosuch: 1\n", "nosuch: unknown setting"),
        ("id: a\ntrust: b\nheartbeat: soon\n", "heartbeat: wanted a duration"),
        ("id: a\ntrust: b\nmemory: 5 apples\n", "memory: wanted a size"),
        ("id: a\ntrust: b\ntasks: 33\n", "tasks: 1 to 32"),
        ("id: a\ntrust: b\nmaxPayload: 1KiB\nchunk: 1KiB\n", "chunk: at most"),
        ("id: a\ntrust: b\nbroker: nowhere\n", "broker: wanted host:port"),
        ("id: a\ntrust: b\ntlsCert: c\n", "a certificate and its key come together"),
        ("id: a\ntrust: b\nsensors: [a]\n", "sensors: wanted NAME=/FILE"),
        ("id: a\ntrust: b\nsensors: {a: x}\n", "sensors: wanted NAME=/FILE"),
        ("id: a\ntrust: b\nsensors: {a: /x safe=1}\n", "sensors: a word is none of scale="),
        ("id: a\ntrust: b\nsensors: {a: /x scale=0}\n", "sensors: scale must not be 0"),
        ("id: a\ntrust: b\noutputs: {a: /x safe=2}\n", "outputs: safe is not between"),
        ("id: a\ntrust: b\noutputs: {a: /x rate=0x1}\n", "outputs: a word is none of"),
        ("id: a\ntrust: b\nsensors: [a=/x, a=/y]\n", "sensors: a name is given twice"),
        ("- a\n", "not a mapping"),
        ("id: [\n", "proplet.yaml"),
    ],
)
def test_a_fault_is_told_where_it_is(show: Path, tmp_path: Path, text: str, words: str) -> None:
    """Exit 2, one line, the file and the setting."""
    ran = _told(show, tmp_path, text)
    assert ran.status == 2
    assert words in ran.text
