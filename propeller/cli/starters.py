"""The texts that `propeller new` writes."""

from __future__ import annotations

CONFIG = """\
# How this fleet is reached; `propeller config show` prints what holds and why. `propeller up` needs
# nothing of this: it starts a broker of its own.
#
# domain: plant
# broker:
#   address: broker.example:8883
#   username: propeller
#   passwordFile: broker.password
#   ca: ca.pem
"""

C_COMMAND = ("clang", "--target=wasm32-wasi", "-Os", "-Wl,-s")

_TASK = """\
# `propeller explain task.spec` tells what else may stand here.
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata:
  name: {name}
spec:
  module:
    file: {name}.{suffix}
  placement:
    replicas: 1
  run:
{run}
  limits:
    memory: 4MiB
    timeout: 10s
"""

_WAT_RUN = """\
    entrypoint: add
    args: ["40", "2"]"""

_C_RUN = """\
    args: ["world"]"""

_WAT = """\
;; An exported function: arguments come from the spec by the types of its parameters, and what it
;; returns is the result.
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    local.get $a
    local.get $b
    i32.add))
"""

_C = """\
/* A WASI program: arguments and environment come from the spec, what it prints to stdout is the
 * result, its exit status the outcome. */
#include <stdio.h>

int main(int argc, char **argv)
{
	printf("hello, %s\\n", argc > 1 ? argv[1] : "nobody");
	return 0;
}
"""

_MAKEFILE = """\
{name}.wasm: {name}.c
	{command} -o $@ $<
"""


def module(name: str, language: str) -> dict[str, str]:
    """File name to text: source, its build where it needs one, and the Task that runs it."""
    if language == "c":
        return {
            f"{name}.yaml": _TASK.format(name=name, suffix="wasm", run=_C_RUN),
            f"{name}.c": _C,
            "Makefile": _MAKEFILE.format(name=name, command=" ".join(C_COMMAND)),
        }
    return {
        f"{name}.yaml": _TASK.format(name=name, suffix="wat", run=_WAT_RUN),
        f"{name}.wat": _WAT,
    }
