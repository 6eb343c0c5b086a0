"""What every section shares: unknown keys are errors, every field has a description."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

#: Names become folder names and wildcards.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
