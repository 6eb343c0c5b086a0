"""What every section shares: unknown keys are errors, every field has a description."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from opbench.io.download import web_address

#: Names become folder names and wildcards.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
#: What a downloaded file may be called, so that it stays in the folder of downloads.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError(f"'{text}' is no SHA-256; give its 64 hexadecimal digits")
    return text.lower()


def check_download_name(path: str, field: str) -> None:
    """Raise ValueError unless the last part of `path` is a plain file name."""
    if not PLAIN_NAME.fullmatch(PurePosixPath(path).name):
        raise ValueError(
            f"'{field}' is '{path}', but a download needs a name of letters, digits, '.', '_' and '-'; rename it"
        )


Digest = Annotated[str, AfterValidator(_digest)]
Url = Annotated[str, AfterValidator(web_address)]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
