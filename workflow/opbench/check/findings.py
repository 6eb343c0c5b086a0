"""Problems and warnings, all of them collected and none raised."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from opbench.io.errors import InputError

P, R = ParamSpec("P"), TypeVar("R")


@dataclass
class Findings:
    """`problems` would stop the run, `warnings` would not; each is one sentence and occurs once."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def problem(self, sentence: str) -> None:
        """Add what would stop the run."""
        if sentence not in self.problems:
            self.problems.append(sentence)

    def warn(self, sentence: str) -> None:
        """Add what a user should know before the start."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Turn an `InputError` of the block into a problem and go on after the block."""
        try:
            yield
        except InputError as error:
            self.problem(str(error))

    def attempt(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return what `function` returns, or None when it raises an `InputError`, which is collected."""
        with self.collect():
            return function(*args, **kwargs)
        return None
