"""Takes samples of vLLM's families out of the text of a /metrics page, whatever prefix they have there. Pure.

vLLM writes `vllm:num_requests_running`. Ray Serve writes `ray_vllm:…` or `ray_vllm_…`, with a label WorkerId for each
of its processes; relabelling and OpenTelemetry collectors write `vllm_…`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from vllm_exporter.errors import SourceError

USUAL = b"vllm:"
MAX_SAMPLES = 20_000  # of the wanted families: 256 engines have some 5,000
QUOTED = 40  # bytes of a page that are repeated in a message

# Behind a name: labels, whose values may hold any character, then a value, perhaps a time; behind `#` is an exemplar.
_SAMPLE = re.compile(rb'[ \t]*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*+")*+)\}|(?=[ \t]))([^#]*)')
_NAME = re.compile(rb"[A-Za-z_:][A-Za-z0-9_:]*")

Samples = Mapping[bytes, list[tuple[bytes, bytes]]]  # name without prefix to labels and value of each of its samples


def find_prefix(text: bytes, names: Sequence[bytes]) -> bytes | None:
    """Returns the prefix of the names: the usual one, or that with `vllm` in it which most of them have. None: none is
    there.

    Raises SourceError when names of vLLM's are there under a prefix that is not vLLM's.
    """
    first = USUAL + names[0]
    if text.startswith((first + b"{", first + b" ")) or b"\n%b{" % first in text or b"\n%b " % first in text:
        return USUAL
    if not any(name in text for name in names):
        return None
    found = list(_behind_any_prefix(tuple(names)).finditer(text))
    of_prefix: dict[bytes, set[bytes]] = {}
    for one in found:
        if b"vllm" in one[1].lower():
            of_prefix.setdefault(one[1], set()).add(one[0])
    if found and not of_prefix:
        raise SourceError(f"/metrics has no vllm: families, but {found[0][0].decode()}; give it the prefix vllm_")
    other = None if found else _renamed(names[0]).search(text)
    if other is not None:
        raise SourceError(f"/metrics has no vllm: families, but {other[1].decode()} in a form that is not read")
    return USUAL if USUAL in of_prefix else max(of_prefix, key=lambda prefix: len(of_prefix[prefix]), default=None)


def is_cut(text: bytes) -> bool:
    """True if the last line has no end: the text was cut, unless it says itself that it is over (OpenMetrics)."""
    return not text.endswith((b"\n", b"# EOF"))


def whole_families(text: bytes) -> bytes:
    """Drops the last family of a text that is cut: samples of it may be missing, and a sum without them is wrong."""
    comment = text.rfind(b"\n# ")
    if comment >= 0:
        return text[: comment + 1]
    lines = text.split(b"\n")[:-1]
    last = _name(lines[-1]) if lines else b""
    while lines and _name(lines[-1]) == last:
        lines.pop()
    return b"\n".join([*lines, b""])


def find_samples(text: bytes, prefix: bytes, names: Sequence[bytes], others: Sequence[bytes]) -> Samples:
    """Returns the samples of the names, which have the prefix, and of others, which have none.

    Raises SourceError for one that cannot be read, and for more than MAX_SAMPLES.
    """
    wanted, starts = _wanted(prefix, tuple(names), tuple(others))
    found: dict[bytes, list[tuple[bytes, bytes]]] = {}
    count = 0
    for line in text.split(b"\n"):
        if not line.startswith(starts):
            continue
        full = _name(line)
        if full not in wanted:
            continue  # a longer name that begins alike
        sample = _SAMPLE.match(line, len(full))
        if sample is None:
            raise SourceError(f"/metrics: {full.decode()} has {line[len(full) :][:QUOTED]!r} where a sample should be")
        count += 1
        if count > MAX_SAMPLES:
            raise SourceError(f"/metrics has more than {MAX_SAMPLES} samples of vLLM's families; is this vLLM?")
        found.setdefault(wanted[full], []).append((sample[1] or b"", sample[2]))
    return found


def label(labels: bytes, name: bytes) -> bytes | None:
    """Returns the value of a label as it is written, escapes and all; None without it."""
    found = _label(name).search(labels)
    return None if found is None else found[1]


@lru_cache(maxsize=16)
def _label(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?:^|,)[ \t]*" + re.escape(name) + rb'[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"')


@lru_cache(maxsize=4)
def _wanted(
    prefix: bytes, names: tuple[bytes, ...], others: tuple[bytes, ...]
) -> tuple[Mapping[bytes, bytes], tuple[bytes, ...]]:
    """Returns the names as they are on the page, with those by which they are called here, and how such lines begin."""
    wanted = {prefix + name: name for name in names} | {name: name for name in others}
    return wanted, tuple(one for one in wanted if not any(one.startswith(two) for two in wanted if two != one))


@lru_cache(maxsize=1)
def _renamed(name: bytes) -> re.Pattern[bytes]:
    """Returns the pattern of a name of vLLM's in a form that is not read: with a unit behind it, as collectors of
    OpenTelemetry write it, or in quotation marks, as Prometheus 3 writes names with dots."""
    word = rb"[A-Za-z0-9_:./-]{0,64}"
    return re.compile(
        rb"^" + rb"(?:\{[ \t]*\")?(" + word + rb"vllm" + word + re.escape(name) + rb"(?:_ratio)?)[\"{ \t]", re.MULTILINE
    )


@lru_cache(maxsize=1)
def _behind_any_prefix(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Returns the pattern of one of the names at the beginning of a line, behind any prefix."""
    alternatives = b"|".join(map(re.escape, names))
    return re.compile(rb"^((?:[A-Za-z_:][A-Za-z0-9_:]{0,63}[_:])?)(?:" + alternatives + rb")(?=[{ \t])", re.MULTILINE)


def _name(line: bytes) -> bytes:
    found = _NAME.match(line)
    return b"" if found is None else found[0]
