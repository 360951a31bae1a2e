"""FederatedTasks that cannot be held are refused before anything runs, in words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from propeller.model.parse import parse_object, stored_form
from propeller.sources.documents import read_spec_file
from propeller.sources.fill import spelled

SMALLEST: dict[str, Any] = {
    "module": {"image": "r.example/a:1"},
    "rounds": 3,
    "cohort": {"clientsPerRound": 4},
}
MODEL = "sha256:" + "ab" * 32


def read(**more: Any) -> Any:
    cohort = {**SMALLEST["cohort"], **more.pop("cohort", {})}
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "FederatedTask",
        "metadata": {"name": "fl"},
        "spec": {**SMALLEST, **more, "cohort": cohort},
    }
    return read_spec_file(yaml.safe_dump(document).encode(), json=False)


REFUSED = [
    ({"cohort": {"minClients": 5}}, "spec.cohort.minClients", "at most clientsPerRound, 4"),
    ({"cohort": {"overProvision": "0.9"}}, "spec.cohort.overProvision", '"1" to "10"'),
    ({"strategy": {"name": "FedAvgg"}}, "spec.strategy", 'did you mean "FedAvg"?'),
    (
        {"strategy": {"name": "FedAdam", "parameters": {"beta9": "1"}}},
        "spec.strategy",
        "'beta9' is no parameter of it",
    ),
    ({"strategy": {"name": "FedBuff"}}, "spec.model", "must have one shape"),
    (
        {"strategy": {"name": "FedBuff"}, "cohort": {"close": "Cohort"}},
        "spec.cohort.close",
        "must be Target with FedBuff",
    ),
    (
        {"strategy": {"name": "FedBuff", "parameters": {"buffer": "4"}}},
        "spec.strategy",
        "'buffer' is no parameter of it",
    ),
    ({"strategy": {"name": "SCAFFOLD"}}, "spec.guest.model", "trainers read a correction"),
    ({"strategy": {"name": "SCAFFOLD"}}, "spec.model", "devices must know its size"),
    ({"strategy": {"name": "SCAFFOLD"}}, "spec.hyperparameters.learningRate", "above 0"),
    (
        {"strategy": {"name": "SCAFFOLD"}, "privacy": {"clipping": {"norm": "1"}}},
        "spec.privacy.clipping",
        "more than a delta",
    ),
    (
        {"strategy": {"name": "Krum", "parameters": {"faulty": "3"}}},
        "spec.strategy",
        "needs minClients of at least 9",
    ),
    (
        {"strategy": {"name": "Median"}, "updateFormat": "topk-f32"},
        "spec.updateFormat",
        "compares updates",
    ),
    (
        {"strategy": {"name": "Median"}, "privacy": {"secureAggregation": "Enabled"}},
        "spec.strategy",
        "looks at single updates",
    ),
    *(
        ({**more, "privacy": {"secureAggregation": "Enabled", **privacy}}, path, words)
        for more, privacy, path, words in (
            ({}, {}, "spec.model", "devices must know its size"),
            ({}, {}, "spec.cohort.maxSamples", "weights are masked too"),
            ({"cohort": {"maxSamples": 1 << 31}}, {}, "spec.cohort.maxSamples", "must be below"),
            ({"cohort": {"minClients": 2}}, {}, "spec.strategy", "minClients of at least 3"),
            (
                {"cohort": {"overProvision": "2"}},
                {},
                "spec.cohort.overProvision",
                "of 8 invited, 6",
            ),
            (
                {"cohort": {"clientsPerRound": 900}},
                {},
                "spec.cohort.clientsPerRound",
                "at most 1000",
            ),
            ({"updateFormat": "q8-delta"}, {}, "spec.updateFormat", "which has its own"),
            ({"strategy": {"name": "FedNova"}}, {}, "spec.strategy", "masked sum"),
            ({}, {"clipping": {"norm": "1"}}, "spec.privacy.clipping", "are not seen"),
            (
                {},
                {"clipping": {"norm": "1"}, "noise": {"multiplier": "4"}},
                "spec.privacy.noise",
                "are not seen",
            ),
            ({"reveal": "Proplets"}, {}, "spec.privacy.secureAggregation", "Disabled with reveal"),
            ({"mode": "Infer"}, {}, "spec.privacy.secureAggregation", "adds nothing up"),
        )
    ),
    ({"privacy": {"noise": {"multiplier": "1"}}}, "spec.privacy.clipping", "required with noise"),
    ({"privacy": {"local": {"norm": "0"}}}, "spec.privacy.local.norm", "above 0"),
    (
        {"privacy": {"local": {"norm": "1"}}, "updateFormat": "topk-f32"},
        "spec.updateFormat",
        "would come in a later round",
    ),
    (
        {"privacy": {"clipping": {"norm": "1", "adapt": {"quantile": "1"}}}},
        "spec.privacy.clipping.adapt.quantile",
        "below 1",
    ),
    (
        {"privacy": {"clipping": {"norm": "1"}, "noise": {"multiplier": "0.5"}}},
        "spec.privacy.noise",
        "round 1 would spend epsilon",
    ),
    (
        {"privacy": {"clipping": {"norm": "1"}, "noise": {"multiplier": "4", "delta": "1"}}},
        "spec.privacy.noise",
        "delta must be between 0 and 1",
    ),
    (
        {"privacy": {"clipping": {"norm": "1", "adapt": {}}, "noise": {"multiplier": "4"}}},
        "spec.privacy.noise",
        "a fixed clipping norm or a larger cohort",
    ),
    *(
        (
            {**more, "privacy": {"clipping": {"norm": "1"}, "noise": {"multiplier": "4"}}},
            path,
            words,
        )
        for more, path, words in (
            ({"strategy": {"name": "Median"}}, "spec.strategy", "not calibrated for Median"),
            ({"strategy": {"name": "FedNova"}}, "spec.strategy", "not calibrated for FedNova"),
            ({"strategy": {"name": "NormClip"}}, "spec.strategy", "not calibrated for NormClip"),
            ({"reveal": "Proplets"}, "spec.reveal", "must be Aggregates"),
            ({"retainUpdates": "Enabled"}, "spec.retainUpdates", "they are without noise"),
            ({"mode": "Infer"}, "spec.privacy.noise", "which makes no model"),
        )
    ),
    ({"privacy": {"clipping": {"norm": "0"}}}, "spec.privacy.clipping.norm", "above 0"),
    ({"model": {"image": "r.example/m"}}, "spec.model.initial", "required with image"),
    ({"model": {"initial": "Zeros"}}, "spec.model.layout", "required with initial: Zeros"),
    (
        {"model": {"initial": MODEL, "layout": [{"name": "w", "shape": [2]}]}},
        "spec.model.initial",
        "must be Zeros with layout",
    ),
    (
        {"model": {"layout": [{"name": "w"}, {"name": "w"}]}},
        "spec.model.layout[1].name",
        "given twice",
    ),
    (
        {"model": {"layout": [{"name": "w", "shape": [1000, 1000]}]}},
        "spec.guest.model",
        "1000000 numbers do not fit into Env",
    ),
    ({"mode": "Infer"}, "spec.model", "required with mode: Infer"),
    (
        {"run": {"mounts": [{"name": "data", "access": "ReadWrite"}]}},
        "spec.run.mounts[0].access",
        "only updates get out",
    ),
    (
        {"run": {"env": [{"name": "K", "secretRef": {"name": "s", "key": "k"}}]}},
        "spec.run.env[0].secretRef",
        "must not be given to a training module",
    ),
    ({"run": {"env": [{"name": "FL_SEED", "value": "1"}]}}, "spec.run.env[0].name", "FL_"),
    ({"run": {"env": [{"name": "ROUND_ID", "value": "1"}]}}, "spec.run.env[0].name", "ROUND_ID"),
    (
        {
            "promote": {
                "when": "metrics.loss < 1",
                "to": {"kind": "Task", "name": "a"},
                "at": "Better",
            }
        },
        "spec.promote.at",
        "needs evaluation",
    ),
    (
        {"upstream": "Enabled", "strategy": {"name": "Krum"}},
        "spec.strategy.name",
        "must be FedAvg or FedProx with upstream",
    ),
    (
        {
            "upstream": "Enabled",
            "strategy": {"name": "FedAvg", "parameters": {"serverLearningRate": "0.5"}},
        },
        "spec.strategy.name",
        "is told sums",
    ),
    ({"upstream": "Enabled", "evaluation": {}}, "spec.evaluation", "the fleet above says that"),
    (
        {"upstream": "Enabled", "model": {"image": "r.example/m", "initial": MODEL}},
        "spec.model",
        "the fleet above says that",
    ),
    ({"updateFormat": "f64-partial", "strategy": {"name": "Median"}}, "spec.strategy", "sums"),
    (
        {"updateFormat": "f64-partial", "cohort": {"maxSamples": 9}},
        "spec.cohort.maxSamples",
        "cannot be capped",
    ),
    (
        {"updateFormat": "f64-partial", "privacy": {"clipping": {"norm": "1"}}},
        "spec.privacy.clipping",
        "each site sees to its own",
    ),
    ({"upstream": "Enabled", "mode": "Infer"}, "spec.mode", "when to measure"),
    ({"evaluation": {"stop": {}}}, "spec.evaluation.stop", "`when`, `patience` or both"),
    ({"evaluation": {"stop": {"when": "accuracy > 1"}}}, "spec.evaluation.stop.when", "metrics."),
]


@pytest.mark.parametrize(("more", "path", "words"), REFUSED, ids=[row[1] for row in REFUSED])
def test_what_cannot_be_held_is_refused_and_never_clamped(
    more: dict[str, Any], path: str, words: str
) -> None:
    """Each names the field and says what is allowed."""
    flaws = read(**more).flaws
    told = [
        (".".join(str(step) for step in flaw.path).replace(".0", "[0]").replace(".1", "[1]"), flaw)
        for flaw in flaws
    ]
    assert any(where == path and words in flaw.message for where, flaw in told), flaws


def test_what_is_left_out_is_filled_in_and_reads_back() -> None:
    """minClients is all of them, a layout means zeros; the canonical form is one and the same."""
    found = read(model={"layout": [{"name": "w", "shape": [2, 3]}]}, hyperparameters={"lr": "0.05"})
    assert not found.flaws
    spec = found.documents[0].spec
    assert spec["cohort"]["minClients"] == 4
    assert spec["model"]["initial"] == "Zeros"
    meta = {"namespace": "default", "name": "fl", "uid": "0" * 8 + "-0000-0000-0000-" + "0" * 12}
    thing = parse_object("FederatedTask", {**meta, "app": "default"}, spec)
    assert parse_object(**stored_form(thing)) == thing
    assert thing.terms.hyperparameters == (("lr", "0.05"),)
    assert thing.model.layout[0].count == 6
    again = read(**spelled("FederatedTask", spec))
    assert again.documents[0].spec == spec


def test_numbers_keep_their_digits() -> None:
    """Unquoted 0.010 stays 0.010: it reaches the guest as it was written."""
    text = """
apiVersion: propeller.dev/v1alpha1
kind: FederatedTask
metadata: {name: fl}
spec:
  module: {image: r.example/a:1}
  rounds: 1
  cohort: {clientsPerRound: 1}
  hyperparameters: {learningRate: 0.010, localEpochs: 2}
"""
    found = read_spec_file(text.encode(), json=False)
    assert not found.flaws
    assert found.documents[0].spec["hyperparameters"] == {
        "learningRate": "0.010",
        "localEpochs": "2",
    }
