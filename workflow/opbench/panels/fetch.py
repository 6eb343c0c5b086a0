"""Download a dataset that is found nowhere, and check its digest before it is used."""

import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of


def fetch_dataset(datasets: Mapping[str, Dataset], file: str, output: str) -> None:
    """Download the dataset whose path ends in `file` to `output`; a wrong digest is refused."""
    name, dataset = next((k, d) for k, d in datasets.items() if d.path and Path(d.path).name == file and d.url)
    part = Path(f"{output}.part")
    with urllib.request.urlopen(str(dataset.url), timeout=60) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, length=1 << 20)
    if (found := sha256_of(part)) != dataset.sha256:
        part.unlink()
        raise InputError(
            f"datasets.{name}.url: the download's sha256 is {found}, not {dataset.sha256}; correct url or sha256."
        )
    part.rename(output)
