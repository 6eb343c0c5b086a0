"""Downloads over http and https: continued after a cut, checked, and in place whole or not at all.

What comes is one file. Archives are not unpacked, so that nothing can be written outside its folder.
"""

import fcntl
import http.client
import json
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from opbench.io.atomic import write_text
from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of

log = logging.getLogger("opbench.download")

BLOCK = 1 << 20
#: HTTP statuses that another attempt may cure.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
#: Share of the file, and seconds, after which the log says how far it is.
REPORT_SHARE, REPORT_SECONDS = 0.05, 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to insist: attempts in a row that bring nothing, the first pause (doubled) and the time-out, in s."""

    attempts: int = 6
    pause: float = 2.0
    timeout: float = 60.0


class _CutError(OSError):
    """The connection ended before the file did."""


class _RefusedError(ValueError):
    """A redirect that is not followed."""


class _SameProtocol(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only, and none from https to http."""

    def redirect_request(self, request, *rest):  # type: ignore[no-untyped-def]
        new = super().redirect_request(request, *rest)
        if new is not None and (new.type not in ("http", "https") or (request.type, new.type) == ("https", "http")):
            raise _RefusedError(f"it redirects to {new.full_url}, which is not followed")
        return new


#: Faults of a connection. A full disk is a plain OSError and passes by: another attempt would not cure it.
PASSING = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    _CutError,
)


def web_address(text: str) -> str:
    """Return `text` when it is an http or https address, else ValueError: no other protocol or file is asked."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text):
        raise ValueError(f"'{text}' is no http or https address; correct it")
    return text


def download(
    url: str, output: str | Path, field: str, sha256: str | None = None, size: int | None = None,
    patience: Patience | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Download `url` to `output` and return its `size` and `sha256`.

    The bytes go to `OUTPUT.part`; a later call continues it (HTTP Range, RFC 9110 section 14) when the server
    still has the same version by its ETag or date, or when `sha256` will tell. A server that ignores the range
    starts over. Raises InputError, which names `field`, for an address that cannot be had, a full disk, and a
    size or digest that is not the expected one; such a part is removed.
    """
    _check_address(url, field)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(output, url, field, sha256)
    with _alone(output, field):
        return _complete(part, url, field, sha256, size, patience or Patience())


@contextmanager
def _alone(output: Path, field: str) -> Iterator[None]:
    """Hold the right to download `output`: a job that outlived its workflow must not append to the same part."""
    with open(output.with_name(f"{output.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{field}: another process is downloading {output}; wait for it or end it, then run again."
            ) from error
        try:
            yield
        finally:
            Path(lock.name).unlink(missing_ok=True)


def _complete(
    part: "_Part", url: str, field: str, sha256: str | None, size: int | None, patience: Patience
) -> dict[str, Any]:
    """Fetch until all is there, check it and give it its name."""
    output = part.output
    _insist(lambda: part.fetch(patience), url, field, patience, part.size)
    found = {"size": part.size(), "sha256": sha256_of(part.path)}
    for name, expected in (("size", size), ("sha256", sha256)):
        if expected is not None and found[name] != expected:
            part.remove()
            raise InputError(
                f"{field}: what {url} sent has the {name} {found[name]}, not {expected}; correct the configuration, "
                "or try again if the download was spoilt."
            )
    part.keep()
    log.info("%s: %d bytes, sha256 %s", output, found["size"], found["sha256"])
    return found


def read_json(url: str, field: str, patience: Patience | None = None) -> Any:
    """Return the JSON that `url` answers with; InputError when it cannot be had or is none."""
    _check_address(url, field)

    def read() -> bytes:
        with _open(url, {"Accept": "application/json"}, patience or Patience()) as answer:
            return answer.read()

    text = _insist(read, url, field, patience or Patience(), lambda: 0)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{field}: {url} answered with something that is not JSON ({error}); try again.") from error


class _Part:
    """The bytes that have come so far, and what is known of the file that they belong to."""

    def __init__(self, output: Path, url: str, field: str, sha256: str | None) -> None:
        self.output, self.url, self.field, self.sha256 = output, url, field, sha256
        self.path = output.with_name(f"{output.name}.part")
        self.note = output.with_name(f"{output.name}.part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def keep(self) -> None:
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.output)
        self.note.unlink(missing_ok=True)

    def _version(self) -> str | None:
        """The validator under which the part was begun; None when the part must not be continued."""
        try:
            noted = json.loads(self.note.read_text())
            version, same = str(noted["version"]), noted["url"] == self.url
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if same and (version or self.sha256) else None

    def fetch(self, patience: Patience) -> None:
        """One attempt: append what is missing; raises _CutError when the connection ends early."""
        version = self._version()
        if version is None:
            self.remove()
        start = self.size()
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and version:
            headers["If-Range"] = version
        try:
            with _open(self.url, headers, patience) as answer:
                start = self._begin(answer, start)
                self._append(answer, start)
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
                raise
            if (error.headers.get("Content-Range") or "").strip() != f"bytes */{start}":
                self.remove()
                raise _CutError("the part did not fit the file and was thrown away") from error

    def _begin(self, answer: http.client.HTTPResponse, start: int) -> int:
        """Return where the answer's bytes belong, having thrown away a part that they do not continue."""
        if answer.status == http.client.PARTIAL_CONTENT:
            given = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", answer.headers.get("Content-Range") or "")
            if given and int(given[1]) == start:
                log.info("%s: continued after %d bytes", self.output.name, start)
                return start
            self.remove()
            raise _CutError(f"the server sent another range than the one from byte {start}")
        if start:
            log.info("%s: the server starts over", self.output.name)
        self.remove()
        etag = answer.headers.get("ETag") or ""
        version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified") or ""
        write_text(json.dumps({"url": self.url, "version": version}) + "\n", self.note)
        return 0

    def _append(self, answer: http.client.HTTPResponse, start: int) -> None:
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        if total is not None and total - start > (free := shutil.disk_usage(self.output.parent).free):
            raise InputError(
                f"{self.field}: {(total - start) / 1e9:.1f} GB are still to come to {self.output.parent}, whose disk "
                f"has {free / 1e9:.1f} GB free; make room, or put the file in a folder that $OPBENCH_DATA names."
            )
        progress = _Progress(self.output.name, start, total)
        with open(self.path, "ab") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                progress.add(len(block))
        if total is not None and self.size() != total:
            raise _CutError(f"the connection ended after {self.size()} of {total} bytes")


class _Progress:
    """A line in the log every few percent or minutes."""

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self.name, self.done, self.total = name, done, total
        self.said, self.when = done, time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        waited = time.monotonic() - self.when
        step = REPORT_SHARE * self.total if self.total else float("inf")
        if self.done - self.said < step and waited < REPORT_SECONDS:
            return
        speed = (self.done - self.said) / 1e6 / max(waited, 1e-3)
        share = f" of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%})" if self.total else " MB"
        log.info("%s: %.1f%s, %.1f MB/s", self.name, self.done / 1e6, share, speed)
        self.said, self.when = self.done, time.monotonic()


def _check_address(url: str, field: str) -> None:
    try:
        web_address(url)
    except ValueError as error:
        raise InputError(f"{field}: {error}.") from error


def _open(url: str, headers: dict[str, str], patience: Patience) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "opbench", "Accept-Encoding": "identity", **headers})
    return urllib.request.build_opener(_SameProtocol()).open(request, timeout=patience.timeout)


def _insist(attempt: Callable[[], T], url: str, field: str, patience: Patience, progress: Callable[[], int]) -> T:
    """Call `attempt` until it succeeds, or has failed `patience.attempts` times in a row without coming further."""
    idle, most = 0, progress()
    while True:
        try:
            return attempt()
        except urllib.error.HTTPError as error:
            reason, hopeless = f"HTTP {error.code} {error.reason}", error.code not in TRANSIENT
        except _RefusedError as error:
            reason, hopeless = str(error), True
        except PASSING as error:
            reason, hopeless = str(getattr(error, "reason", error)) or type(error).__name__, False
        idle = 0 if progress() > most else idle + 1
        most = max(most, progress())
        if hopeless or idle >= patience.attempts:
            raise InputError(
                f"{field}: {url} cannot be downloaded ({reason}); correct the address, try again, or put the file in "
                "a folder that $OPBENCH_DATA names."
            )
        log.warning("%s: %s; trying again", url, reason)
        time.sleep(patience.pause * 2 ** max(0, idle - 1))
