"""Downloads datasets that are found nowhere: from a fixed address, or the current version in CELLxGENE."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opbench.config.data import Dataset
from opbench.io.atomic import write_text
from opbench.io.download import Patience, download, read_json
from opbench.io.errors import InputError

log = logging.getLogger("opbench.panels")

#: The Discover API of CZ CELLxGENE; the variable OPBENCH_CELLXGENE_API names another one, such as a mirror.
API = "https://api.cellxgene.cziscience.com/curation/v1"


@dataclass(frozen=True)
class Asset:
    """One file of one published version; `size` in bytes is None where the API does not know it."""

    url: str
    version: str
    size: int | None


def fetch_dataset(
    datasets: Mapping[str, Dataset],
    file: str,
    output: str | Path,
    record: str | Path,
    api: str | None = None,
    patience: Patience | None = None,
) -> None:
    """Download the dataset whose path ends in `file` to `output`, and write down in `record` what came.

    `record` is JSON without dates, so that equal downloads give equal records: url, size and sha256, and for
    CELLxGENE the ids of dataset and version. Raises InputError when it cannot be had or its digest is wrong.
    """
    name, dataset = _wanted(datasets, file)
    known: dict[str, object] = {"file": file}
    if dataset.cellxgene:
        field = f"datasets.{name}.cellxgene"
        asset = current_version(dataset.cellxgene, field, api, patience)
        known |= {"dataset_id": dataset.cellxgene, "dataset_version_id": asset.version, "url": asset.url}
    else:
        field, asset = f"datasets.{name}.url", Asset(str(dataset.url), "", None)
        known["url"] = asset.url
    found = download(asset.url, output, field, dataset.sha256, asset.size, patience)
    write_text(json.dumps(known | found, indent=1) + "\n", record)


def current_version(dataset_id: str, field: str, api: str | None = None, patience: Patience | None = None) -> Asset:
    """Return the H5AD file of the newest published version of a CELLxGENE dataset.

    `GET /datasets/{id}/versions` lists the published versions, newest first, each with its `assets`
    (CZ CELLxGENE Discover API, version 1).
    """
    base = (api or os.environ.get("OPBENCH_CELLXGENE_API") or API).rstrip("/")
    url = f"{base}/datasets/{dataset_id}/versions"
    try:
        newest = read_json(url, field, patience)[0]
        asset = next(asset for asset in newest["assets"] if asset["filetype"] == "H5AD")
        size = int(asset.get("filesize") or 0)
        found = Asset(str(asset["url"]), str(newest["dataset_version_id"]), size if size > 0 else None)
    except (LookupError, TypeError, ValueError, StopIteration) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{field}: {url} names no H5AD file of a published version; correct the id, or download the file by hand "
            "and name its folder in $OPBENCH_DATA."
        ) from error
    log.info("CELLxGENE dataset %s: current version %s", dataset_id, found.version)
    return found


def _wanted(datasets: Mapping[str, Dataset], file: str) -> tuple[str, Dataset]:
    """The dataset that a file belongs to; two that share a file name must come from one place."""
    named = {k: d for k, d in datasets.items() if d.path and Path(d.path).name == file and (d.url or d.cellxgene)}
    if not named:
        raise InputError(f"datasets: none that can be downloaded is called '{file}'; give it a url or a CELLxGENE id.")
    if len({(d.url, d.cellxgene, d.sha256) for d in named.values()}) > 1:
        raise InputError(f"datasets: {sorted(named)} download different files of the name '{file}'; rename one.")
    return next(iter(named.items()))
