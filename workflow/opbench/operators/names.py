"""Names of control operators, and what they are made of besides a panel's attention; light, for the workflow."""

import re

from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS
from opbench.io.errors import InputError

#: Arm -> what else it is made of; the other arms need the attention file alone.
NEEDS = {
    **dict.fromkeys(("gram", "qk", "ov", "gram_permuted", "qk_permuted", "ov_permuted"), "checkpoint"),
    "random_model": "random_attention",
    "label_lookup": "panel",
}
#: Arms that are made from the cells' labels.
LABEL_ARMS = ("label_lookup",)


def parse_name(name: str) -> tuple[str, int]:
    """Arm and draw: `shuffle-3` -> ("shuffle", 3), `uniform` -> ("uniform", -1)."""
    if name in FIXED_ARMS:
        return name, -1
    match = re.fullmatch(r"(\w+)-(\d+)", name)
    if match and match[1] in RANDOM_ARMS:
        return match[1], int(match[2])
    raise InputError(
        f"operator '{name}' is unknown; use drift, head-L<layer>H<head>, gaussian-<draw>, one of {list(FIXED_ARMS)}, "
        f"or <arm>-<draw> with an arm of {list(RANDOM_ARMS)}."
    )


def needs(name: str) -> str:
    """What an operator is made of besides the attention file: `checkpoint`, `random_attention`, `panel` or ''."""
    return NEEDS.get(name.partition("-")[0], "")
