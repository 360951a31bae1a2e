"""`propeller fl create|status|rounds|...`: federated learning from the command line.

`create` writes a spec; the others read the store and change nothing.
"""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

ACTIONS = {
    "create": ("flcreate", "write the spec of a FederatedTask, suspended until it is started"),
    "status": ("flstatus", "how far it is, with a plot of its metric"),
    "rounds": ("flrounds", "its rounds: cohort, what came in, model, metrics"),
    "export": ("flexport", "the model of a round as a safetensors file"),
    "promote": ("flpromote", "the model of a round into the spec of whoever uses it, as an edit"),
    "publish": ("flpublish", "the model of a round into a registry, with a signed record"),
    "lineage": ("fllineage", "from a model back to where training started, each step checked"),
    "verify": ("flverify", "compute a round again from its updates and compare digests"),
    "fold": ("flfold", "a site's round as one signed update, for whoever joins the sites"),
    "join": ("fljoin", "the next model out of the updates of several sites"),
    "bisect": ("flbisect", "the round where a metric turned, and what changed in it"),
}
"""Action: module and one line of help. Each module has `add_arguments` and `run`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, (name, summary) in ACTIONS.items():
        _module(name).add_arguments(below.add_parser(action, help=summary))


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    name, _ = ACTIONS[args.action]
    return int(_module(name).run(args))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"propeller.cli.{name}")
