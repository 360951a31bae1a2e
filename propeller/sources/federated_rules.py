"""What a schema cannot say about a FederatedTask: fields that must agree with each other.

Called by `rules`. What does not fit together is refused with words and never bent into shape: a
round that silently did something else than was written is worth nothing.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from propeller.errors import PropellerError, UsageError
from propeller.model.federated import BUFFERED, MASKED, MEANS, SUMS, ZEROS
from propeller.sources.aggregators import module_problems
from propeller.sources.nodes import Path

MAX_PARAMETERS: Final = 1 << 28
"""Numbers of one model: 1 GiB of f32."""

MAX_ENV: Final = 98_304
"""Numbers that could fit into 256 KiB of base64 at all, two characters of JSON each."""

TOLD: Final = ("ROUND_ID", "MODEL_URI", "HYPERPARAMS", "PROPLET_ID", "MODEL_DATA")
"""Variables of a round that do not begin with FL_: the first Propeller's."""

Problem = tuple[Path, str]


def problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Paths are relative to `spec`."""
    cohort = spec["cohort"]
    if cohort.get("minClients", 1) > cohort["clientsPerRound"]:
        yield ("cohort", "minClients"), f"must be at most clientsPerRound, {_all(cohort)}"
    yield from _model(spec)
    yield from _run(spec["run"])
    yield from _strategy(spec)
    yield from _privacy(spec)
    if spec["mode"] == "Infer":
        yield from _infer(spec)
    if spec.get("upstream") == "Enabled":
        yield from _upstream(spec)
    if spec["updateFormat"] == SUMS:
        yield from _sums(spec)
    if spec.get("promote", {}).get("at") == "Better" and "evaluation" not in spec:
        yield ("promote", "at"), "Better needs evaluation, which says which model is better"
    if "stop" in spec.get("evaluation", {}) and not spec["evaluation"]["stop"]:
        yield ("evaluation", "stop"), "must say `when`, `patience` or both"


def finish(spec: Mapping[str, Any]) -> dict[str, Any]:
    """One spelling; what is left out and depends on another field is filled in. Idempotent."""
    out = dict(spec)
    out["cohort"] = {"minClients": spec["cohort"]["clientsPerRound"], **spec["cohort"]}
    module = spec.get("strategy", {}).get("module")
    if module is not None:
        module = {**module, "file": posixpath.normpath(module["file"])}
        out["strategy"] = {**spec["strategy"], "module": module}
    model = spec.get("model")
    if model is not None and "file" in model:
        out["model"] = {**model, "file": posixpath.normpath(model["file"])}
    elif model is not None and "layout" in model:
        out["model"] = {**model, "initial": ZEROS}
    return out


def _all(cohort: Mapping[str, Any]) -> int:
    return int(cohort["clientsPerRound"])


def _model(spec: Mapping[str, Any]) -> Iterator[Problem]:
    model = spec.get("model")
    if model is None:
        return
    initial = model.get("initial")
    if not {"file", "image", "layout"} & model.keys():
        yield (
            ("model",),
            "must name file, image or layout; leave it out to start from zero",
        )
    if "file" in model and "image" in model:
        yield ("model", "image"), "must not stand beside file"
    if model.get("file", "").startswith("/"):
        yield ("model", "file"), "must be relative to the spec file"
    if "layout" in model:
        for name in ("file", "image"):
            if name in model:
                yield ("model", "layout"), f"must not stand beside {name}, which has its own"
        if initial not in (None, ZEROS):
            yield ("model", "initial"), f"must be {ZEROS} with layout"
        yield from _layout(spec, model["layout"])
    elif initial == ZEROS:
        yield ("model", "layout"), f"required with initial: {ZEROS}"
    if "image" in model and initial in (None, ZEROS):
        yield ("model", "initial"), "required with image: the digest of the model"


def _layout(spec: Mapping[str, Any], layout: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    seen: set[str] = set()
    total = 0
    for index, tensor in enumerate(layout):
        if tensor["name"] in seen:
            yield (
                ("model", "layout", index, "name"),
                f'the tensor "{tensor["name"]}" is given twice',
            )
        seen.add(tensor["name"])
        count = 1
        for length in tensor["shape"]:
            count *= length
        total += count
    if total > MAX_PARAMETERS:
        yield ("model", "layout"), f"has {total} numbers, at most {MAX_PARAMETERS} are taken"
    elif total > MAX_ENV and spec["guest"]["model"] == "Env":
        yield ("guest", "model"), f"must be File or Imports: {total} numbers do not fit into Env"


def _run(run: Mapping[str, Any]) -> Iterator[Problem]:
    """A trainer gets nothing it could carry data out with, and nothing it could leak."""
    for index, row in enumerate(run["env"]):
        if "secretRef" in row:
            yield ("run", "env", index, "secretRef"), "must not be given to a training module"
        elif row["name"].startswith("FL_") or row["name"] in TOLD:
            yield (
                ("run", "env", index, "name"),
                f"must not begin with FL_, nor be {', '.join(TOLD)}: a round says those",
            )
    if run.get("models"):
        yield ("run", "models"), "must not be given: a round brings the model"
    for index, mount in enumerate(run["mounts"]):
        if mount["access"] != "ReadOnly":
            yield (
                ("run", "mounts", index, "access"),
                "must be ReadOnly: only updates get out",
            )
        if mount.get("path") == "/model":
            yield ("run", "mounts", index, "path"), "must not be /model: a round puts that there"


def _strategy(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether there is such a strategy, with such parameters, under such terms."""
    from propeller.fl.strategies.base import Trait
    from propeller.fl.strategies.registry import compatible, strategy

    given, privacy, cohort = spec["strategy"], spec["privacy"], spec["cohort"]
    yield from module_problems(given)
    secure = privacy["secureAggregation"] == "Enabled"
    try:
        chosen = strategy(given["name"], given["parameters"])
    except UsageError as error:
        yield ("strategy",), error.what + (f"; {error.hint}" if error.hint else "")
        return
    if Trait.ASYNC in chosen.traits:
        yield from _buffered(spec, chosen.name)
    if Trait.CONTROL in chosen.traits:
        yield from _control(spec, chosen.name)
    if Trait.RANKS in chosen.traits and spec["updateFormat"].startswith("topk-"):
        words = f"must not leave numbers out with {chosen.name}, which compares updates"
        yield ("updateFormat",), words
    for wrong in compatible(
        chosen,
        encoding=MASKED if secure else spec["updateFormat"],
        secure=secure,
        noise="noise" in privacy,
        cohort=cohort.get("minClients", cohort["clientsPerRound"]),
    ):
        yield ("strategy",), wrong


def _upstream(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What a site cannot decide, and what its sums cannot be made of."""
    name, parameters = spec["strategy"]["name"], spec["strategy"]["parameters"]
    if name not in MEANS or float(parameters.get("serverLearningRate", "1")) != 1.0:
        words = f"must be {' or '.join(MEANS)} with upstream: the fleet above is told sums"
        yield ("strategy", "name"), words
    for field in ("model", "evaluation", "promote"):
        if field in spec:
            yield (field,), "must not stand beside upstream: the fleet above says that"
    if spec["mode"] == "Infer":
        yield ("mode",), "must be Train with upstream: the fleet above says when to measure"
    privacy = spec["privacy"]
    if privacy["secureAggregation"] == "Enabled":
        yield ("privacy", "secureAggregation"), "must not stand beside upstream"
    if "noise" in privacy:
        yield ("privacy", "noise"), "must not stand beside upstream: sums go up without it"


def _sums(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What cannot be done where only sums of sites are seen."""
    if float(spec["strategy"]["parameters"].get("serverLearningRate", "1")) != 1.0:
        yield ("strategy", "parameters"), f"serverLearningRate must be 1 with {SUMS}"
    if "maxSamples" in spec["cohort"]:
        yield ("cohort", "maxSamples"), f"must not stand beside {SUMS}: sums cannot be capped"
    for field in ("clipping", "local", "noise"):
        if field in spec["privacy"]:
            yield ("privacy", field), f"must not stand beside {SUMS}: each site sees to its own"


def _buffered(spec: Mapping[str, Any], name: str) -> Iterator[Problem]:
    """What must hold where a round takes updates of older models."""
    if name != BUFFERED:
        words = f"{name} needs updates of older models, which only {BUFFERED} is given"
        yield ("strategy", "name"), words
    if "model" not in spec:
        yield ("model",), f"required with {name}: updates of several rounds must have one shape"
    if spec["cohort"]["close"] != "Target":
        words = f"must be Target with {name}: its rounds are full at clientsPerRound updates"
        yield ("cohort", "close"), words


def _control(spec: Mapping[str, Any], name: str) -> Iterator[Problem]:
    """What a device needs to keep a control variate for its trainer."""
    if spec["guest"]["model"] != "Imports":
        yield ("guest", "model"), f"must be Imports with {name}: trainers read a correction"
    if "model" not in spec:
        yield ("model",), f"required with {name}: devices must know its size"
    if spec["updateFormat"] != "f32-delta":
        yield ("updateFormat",), f"must be f32-delta with {name}"
    try:
        rate = float(spec["hyperparameters"].get("learningRate", ""))
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        yield ("hyperparameters", "learningRate"), f"required with {name}, above 0"
    for field in ("clipping", "local"):
        if field in spec["privacy"]:
            words = f"must not stand beside {name}, whose updates are more than a delta"
            yield ("privacy", field), words


def _privacy(spec: Mapping[str, Any]) -> Iterator[Problem]:
    privacy = spec["privacy"]
    faults = list(_positive(privacy))
    yield from faults
    if "noise" in privacy and not faults:
        yield from _noise(spec)
    if "local" in privacy and spec["updateFormat"].startswith("topk-"):
        words = "must not leave numbers out with privacy.local: they would come in a later round"
        yield ("updateFormat",), words
    if privacy["secureAggregation"] == "Enabled":
        yield from _secure(spec)


def _secure(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What must hold for a sum that hides its summands (docs/explanation/privacy.md)."""
    from propeller.fl.secagg.letters import MEMBERS
    from propeller.fl.secagg.messages import MODULUS, threshold_of

    privacy, cohort = spec["privacy"], spec["cohort"]
    where: Path = ("privacy", "secureAggregation")
    if spec["reveal"] == "Proplets" or spec["retainUpdates"] == "Enabled":
        yield where, "must be Disabled with reveal: Proplets or retainUpdates: Enabled"
    if spec["mode"] == "Infer":
        yield where, "must be Disabled with mode: Infer, which adds nothing up"
    for name in ("clipping", "noise"):
        if name in privacy:
            yield (
                ("privacy", name),
                "must not stand beside secureAggregation, under which single updates are not seen;"
                " privacy.local is done on the device",
            )
    if spec["updateFormat"] != "f32-delta":
        yield ("updateFormat",), "must be left out with secureAggregation, which has its own"
    if "model" not in spec:
        yield ("model",), "required with secureAggregation: devices must know its size"
    target = cohort["clientsPerRound"]
    members = math.ceil(Fraction(target) * Fraction(cohort["overProvision"]))
    if members > MEMBERS:
        yield ("cohort", "clientsPerRound"), f"invites {members}, at most {MEMBERS} can be masked"
    elif threshold_of(members) > max(target, 3):
        words = f"must be lower: of {members} invited, {threshold_of(members)} open a sum"
        yield ("cohort", "overProvision"), words
    most = cohort.get("maxSamples")
    if most is None:
        yield ("cohort", "maxSamples"), "required with secureAggregation: weights are masked too"
    elif most * members >= MODULUS:
        words = f"must be below {MODULUS // members}, so that the sum of weights fits"
        yield ("cohort", "maxSamples"), words


def _positive(privacy: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("clipping", "noise", "local"):
        for field, text in privacy.get(name, {}).items():
            if isinstance(text, str) and float(text) <= 0:
                yield ("privacy", name, field), "must be above 0"
    adapt = privacy.get("clipping", {}).get("adapt", {})
    for field, low, high in (("quantile", 0, 1), ("rate", 0, 1.0000001)):
        if field in adapt and not low < float(adapt[field]) < high:
            words = "must be above 0 and below 1" if high == 1 else "must be above 0, at most 1"
            yield ("privacy", "clipping", "adapt", field), words


def _noise(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What must hold for noise to be worth its name (docs/explanation/privacy.md)."""
    from propeller.fl.privacy.accounting import MOST, Budget, Ledger

    privacy, cohort = spec["privacy"], spec["cohort"]
    noise, clipping = privacy["noise"], privacy.get("clipping")
    where: Path = ("privacy", "noise")
    if spec["reveal"] == "Proplets":
        yield ("reveal",), "must be Aggregates with privacy.noise"
    if spec["retainUpdates"] == "Enabled":
        yield ("retainUpdates",), "must be Disabled with privacy.noise: they are without noise"
    if spec["mode"] == "Infer":
        yield where, "must not stand beside mode: Infer, which makes no model"
    if clipping is None:
        yield ("privacy", "clipping"), "required with noise: it says how much one may weigh"
        return
    multiplier = float(noise["multiplier"])
    try:
        budget = Budget(epsilon=float(noise["maxEpsilon"]), delta=float(noise["delta"]))
        if multiplier > MOST:
            yield (*where, "multiplier"), f"must be at most {MOST:g}"
            return
        Ledger(job="").pay(budget, multiplier=multiplier)
        if "adapt" in clipping:
            from propeller.fl.privacy.clipping import count_noise, split

            split(multiplier, counts=count_noise(cohort["clientsPerRound"]))
    except PropellerError as error:
        yield where, error.what


def _infer(spec: Mapping[str, Any]) -> Iterator[Problem]:
    model = spec.get("model", {})
    if not {"file", "image"} & model.keys():
        yield ("model",), "required with mode: Infer, by file or image"
    if "evaluation" in spec:
        yield ("evaluation",), "must not stand beside mode: Infer, which is nothing else"
