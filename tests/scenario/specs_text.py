"""Specs of the scenarios, as text."""

from __future__ import annotations

from collections.abc import Iterable

WAT = '(module (func (export "run") (result i32) (i32.const 42)) (func (export "_start")))'


def proplet_yaml(names: Iterable[str], **labels: str) -> str:
    """Declarations of proplets, one document each."""
    text = "".join(f", {name}: {value}" for name, value in labels.items())
    return "".join(
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
        f"metadata: {{name: {name}, labels: {{id: {name}{text}}}}}\n"
        "spec: {heartbeat: 10s}\n"
        for name in names
    )


def task_yaml(name: str, spec: str = "") -> str:
    """A Task that runs `run` of `m.wat`."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Task\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  module: {{file: m.wat}}\n  run: {{entrypoint: run}}\n{spec}"
    )


def daemon_yaml(name: str, spec: str = "") -> str:
    """A Daemon that runs `_start` of `m.wat`."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Daemon\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  module: {{file: m.wat}}\n{spec}"
    )


EVERYWHERE = "  placement: {perProplet: true}\n"
"""A copy on each proplet."""


def with_args(*args: str) -> str:
    """An edit of a Daemon that makes its runs other ones."""
    quoted = ", ".join(f'"{arg}"' for arg in args)
    return f"  run: {{args: [{quoted}]}}\n"
