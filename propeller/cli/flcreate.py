"""`propeller fl create NAME`: the spec of a FederatedTask, from a few flags into the spec tree.

The flags are those of the published quick start. What is written is an ordinary spec, checked with
the whole tree before it is; it is suspended, so that nothing trains until `tasks start NAME`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from propeller.cli.context import Client, add_state, state_dir, who
from propeller.cli.output import add_dry_run, say, yaml_text
from propeller.cli.settings import add_config
from propeller.cli.spectree import add_tree, commit, faults_brought, spec_root
from propeller.errors import Unavailable, UsageError

HEAD = """\
# Federated learning: proplets train on data that stays with them. Written by `propeller fl create`;
# `propeller explain FederatedTask.spec` tells what else may stand here.
"""

FLAGS = {
    "metadata.name": "NAME",
    "metadata.namespace": "--namespace",
    "spec.module.image": "--image-url",
    "spec.mode": "--mode",
    "spec.rounds": "--rounds",
    "spec.cohort.clientsPerRound": "--clients-per-round",
    "spec.cohort.minClients": "--min-clients",
    "spec.updateFormat": "--update-format",
    "spec.model": "--model-ref",
    "spec.model.file": "--model-ref",
    "spec.model.image": "--model-ref",
    "spec.model.initial": "--model-ref",
    "spec.roundDeadline": "--round-timeout",
    "spec.hyperparameters.localEpochs": "--local-epochs",
    "spec.hyperparameters.batchSize": "--batch-size",
    "spec.hyperparameters.learningRate": "--learning-rate",
}
"""Which flag a field of the spec came from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl create`."""
    parser.add_argument("name", metavar="NAME", help="name of the task")
    parser.add_argument("-n", "--namespace", metavar="NS", help="its namespace")
    parser.add_argument(
        "--image-url", required=True, metavar="IMAGE", help="the training module in a registry"
    )
    parser.add_argument(
        "--mode", default="train", metavar="MODE", help="train or infer (default train)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds to commit")
    parser.add_argument(
        "--clients-per-round", type=int, metavar="N", help="updates that make a round full"
    )
    parser.add_argument(
        "--min-clients", type=int, metavar="N", help="updates without which a round is abandoned"
    )
    parser.add_argument("--update-format", metavar="F", help="how an update is encoded")
    parser.add_argument(
        "--model-ref",
        metavar="MODEL",
        help="where training starts: a .safetensors file of the tree, or IMAGE@sha256:<digest of"
        " the model> (default: zeros)",
    )
    parser.add_argument("--round-timeout", metavar="T", help="the deadline of a round, as 30m")
    parser.add_argument("--local-epochs", metavar="N", help="passes over the data in a round")
    parser.add_argument("--batch-size", metavar="N", help="samples of one step")
    parser.add_argument("--learning-rate", metavar="X", help="length of one step")
    parser.add_argument(
        "-o",
        "--output",
        choices=("name", "json"),
        default="name",
        help="what is printed: the name, or id, name and file (default name)",
    )
    add_tree(parser)
    add_config(parser)
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Write; returns the exit code."""
    root = spec_root(args)
    file = f"{args.name}.yaml"
    data = (HEAD + yaml_text(document(args))).encode()
    if "/" in args.name or (root / file).exists():
        there = "is no name" if "/" in args.name else "is there already"
        raise UsageError(f"{root / file}: {there}", hint="choose another NAME")
    _check(args, root, file, data)
    if args.dry_run:
        print(data.decode(), end="")
        return 0
    try:
        with (root / file).open("xb") as out:
            out.write(data)
    except OSError as error:
        raise UsageError(f"{root / file}: {error.strerror}") from error
    if args.commit:
        commit(root / file, f"Create FederatedTask {args.name}, suspended")
    if args.output == "json":
        found = {"id": args.name, "name": args.name, "file": str(root / file)}
        print(json.dumps(found))
    else:
        print(args.name)
    say(f"{root / file}: written; `propeller tasks start {args.name}` begins it")
    _nudge(args)
    return 0


def document(args: argparse.Namespace) -> dict[str, Any]:
    """The spec that the flags mean; what was not said is left to the schema's defaults."""
    meta = {"name": args.name}
    if args.namespace is not None:
        meta["namespace"] = args.namespace
    cohort = {"clientsPerRound": args.clients_per_round, "minClients": args.min_clients}
    parameters = {
        "localEpochs": args.local_epochs,
        "batchSize": args.batch_size,
        "learningRate": args.learning_rate,
    }
    spec: dict[str, Any] = {
        "suspend": {"reason": "not started yet", "by": who()},
        "module": {"image": args.image_url},
        "mode": args.mode.capitalize(),
        "rounds": args.rounds,
        "cohort": _said(cohort),
        "roundDeadline": args.round_timeout,
        "updateFormat": args.update_format,
        "model": None if args.model_ref is None else model_of(args.model_ref),
        "hyperparameters": _said(parameters) or None,
    }
    return {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "FederatedTask",
        "metadata": meta,
        "spec": _said(spec),
    }


def model_of(text: str) -> dict[str, str]:
    """`spec.model` of what `--model-ref` says. Raises UsageError."""
    image, at, digest = text.rpartition("@")
    if at:
        return {"image": image, "initial": digest}
    if text.endswith(".safetensors") and "://" not in text:
        return {"file": text}
    raise UsageError(
        f"--model-ref {text}: neither a .safetensors file nor pinned",
        hint="write IMAGE@sha256:<digest of the model's bytes>, so that all start from the same",
    )


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _check(args: argparse.Namespace, root: Path, file: str, data: bytes) -> None:
    """Refuse what the tree would not take. Raises UsageError in terms of the flags."""
    told = [
        f"{FLAGS[one.path]}: {one.message}" if one.path in FLAGS else str(one)
        for one in faults_brought(args, root, {file: data})
    ]
    if told:
        raise UsageError("\n".join(told), hint="nothing was written")


def _nudge(args: argparse.Namespace) -> None:
    """A reconciler that follows the tree need not wait for its next look."""
    import contextlib

    state = state_dir(args)
    if state.exists():
        with contextlib.suppress(Unavailable):
            Client(state).post("/api/v1/look", {})
