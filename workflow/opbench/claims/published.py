"""What of the paper's own inputs a run lacks for a verdict on the paper's figures (decision 16)."""

from collections.abc import Mapping
from typing import Any

from opbench.claims.cases import Place
from opbench.config.claims import Case, Claim, ClaimSettings, Role

#: What each verdict says, best first.
VERDICTS = {
    "model_specific": "the real operator beats every control that it must, beyond their null floors, and the methods "
    "that the claim names: the model deserves credit",
    "holds": "an exact or descriptive claim is true of these numbers",
    "readable": "beats the trivial controls and those that ran, but a control that it must beat could not be judged",
    "not_separable": "not shown to be better than a control that it must beat; that is no evidence that they are equal",
    "undecided": "neither the claim nor its opposite is shown: a difference that is not significant is no evidence of "
    "none, and a lead within the null floor is none",
    "fails": "an exact or descriptive claim is not true of these numbers",
    "contradicted": "the opposite of the claim is shown, or a control that it must beat is significantly ahead",
    "not_testable": "something that the claim needs is not there; the reason names it",
}


def what_is_missing(
    claim: Claim, case: Case, place: Place, roles: Mapping[str, Role], settings: ClaimSettings,
    model: Mapping[str, Any], genes: Mapping[str, str],
) -> str:  # fmt: skip
    """One sentence that names what is missing, or nothing.

    model: the model card; genes: digest of the gene list by panel.
    """
    own, missing = settings.published, []
    if "checkpoint" in claim.published_needs and not _is_checkpoint(own.checkpoint_sha256, model):
        missing.append(f"the paper's checkpoint (this is {model['name']}, {str(model['digest'])[:12]})")
    if "genes" in claim.published_needs:
        if own.genes_sha256 is None:
            missing.append("the paper's gene panel, whose digest is unknown (claims.published.genes_sha256)")
        elif genes.get(place.panel) != own.genes_sha256:
            missing.append("the paper's gene panel (this one has another digest)")
    if "cells" in claim.published_needs and place.panel not in own.panels:
        missing.append("the paper's cells (claims.published.panels)")
    role = roles.get(case.endpoint.partition("/")[0]) if "/" in case.endpoint else None
    if role and place.endpoint and not place.endpoint.startswith(tuple(f"{name}_" for name in role.paper)):
        missing.append(f"the endpoint {role.text} itself")
    return f"Needs {_listed(missing)}." if missing else ""


def _is_checkpoint(digest: str | None, model: Mapping[str, Any]) -> bool:
    return bool(model["published"]) if digest is None else model["digest"] == digest


def _listed(items: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
