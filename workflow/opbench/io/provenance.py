"""Provenance of a run: commit, versions, digests of config, inputs and tables, seeds."""

import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from opbench.io.atomic import write_text

PACKAGES = ("snakemake", "numpy", "scipy", "pandas", "pyarrow", "anndata", "scanpy", "scikit-learn", "torch")


def sha256_of(path: str | Path) -> str:
    """Digest of a file, streamed; of a folder (zarr), that of the names and digests of its files."""
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        lines = [f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _downloaded(path: str) -> bool:
    return Path(f"{path}.json").is_file()


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _seeds(value: Any, path: str = "") -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    out: dict[str, int] = {}
    for key, item in value.items():
        here = f"{path}.{key}" if path else str(key)
        out |= {here: item} if key == "seed" else _seeds(item, here)
    return out


def write_provenance(
    config: dict[str, Any], model: str, data: list[str], tables: list[str], output: str, config_output: str
) -> None:
    """Write provenance.json, and the resolved configuration that makes the run again."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    write_text(text, config_output)
    record = {
        "run": config["run"],
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "seeds": _seeds(config),
        "model": json.loads(Path(model).read_text()),
        "inputs": {str(path): sha256_of(path) for path in data},
        "downloads": {
            path: json.loads(record.read_text()) for path in data if (record := Path(f"{path}.json")).is_file()
        },
        "tables": {Path(path).name: sha256_of(path) for path in tables},
    }
    write_text(json.dumps(record, indent=2) + "\n", output)
