"""One bad input: how it is made and met, and what the sentence must name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """`meet(folder)` makes the bad input in an empty folder and hands it to the program; `says` is in the sentence."""

    what: str
    meet: Callable[[Path], object]
    says: tuple[str, ...]
