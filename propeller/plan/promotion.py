"""Which change to another spec a job asks for now. Pure; called by `reconcile.promotions`.

A proposal is a function of the rows, its branch named by what is in it: whoever is killed between
any two statements asks for the same branch again, and what is there already is left as it is.
"""

from __future__ import annotations

from propeller.model.federated import FederatedTask
from propeller.model.inventory import Held
from propeller.model.promotion import Proposal
from propeller.model.rounds import Job

FOLDER = "promote"
"""How the names of all such branches begin."""


def proposal(held: Held, job: Job) -> Proposal | None:
    """The branch that is to be opened, None where there is none to open (any more)."""
    obj = held.object
    if not isinstance(obj, FederatedTask) or held.deleted_at is not None:
        return None
    promote = obj.promote
    if promote is None or not promote.branch or job.proposed == job.candidate:
        return None
    over = bool(job.stopped or job.failed) or job.done >= obj.rounds
    if not over and not promote.eager:
        return None
    key, model, number = obj.meta.key, job.candidate_model, job.candidate
    digest = model.digest.removeprefix("sha256:")
    place = promote.to if not promote.row else f"{promote.to}, models/{promote.row}"
    return Proposal(
        uid=held.uid,
        job=job.job,
        key=key,
        round=number,
        model=model,
        to=promote.to,
        row=promote.row,
        branch=f"{FOLDER}/{key.namespace}/{key.name}-{job.job[:8]}-{number:04}-{digest[:12]}",
        message=(
            f"Promote round {number} of {key.name} to {promote.to.kind} {promote.to.name}\n\n"
            f"{place} reads {model.digest}, {model.size} bytes,\n"
            f"which holds {promote.when}: round {number} of job {job.job} of {key}."
        ),
    )
