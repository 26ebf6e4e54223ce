"""File systems: size, free space and free files of the local ones, of /dev/shm, and of each server's own /dev/shm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.facts import Trees
from vllm_exporter.linux.files import read_bytes
from vllm_exporter.metrics.family import Sample
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.mounts import Choice, Mount, Space, choose, parse_mountinfo, read_space

SHM = "/dev/shm"


class FilesystemsCollector(Collector):
    """Reads file systems. A local disk that fails may hang this collector, and no other."""

    metrics = (
        names.HOST_SHM_SIZE_BYTES,
        names.HOST_SHM_FREE_BYTES,
        names.SERVER_SHM_SIZE_BYTES,
        names.SERVER_SHM_FREE_BYTES,
        names.HOST_FILESYSTEM_SIZE_BYTES,
        names.HOST_FILESYSTEM_FREE_BYTES,
        names.HOST_FILESYSTEM_FILES,
        names.HOST_FILESYSTEM_FILES_FREE,
        names.HOST_FILESYSTEM_READ_ONLY,
        names.HOST_FILESYSTEMS_SKIPPED,
    )
    interval = 10.0  # a disk that takes a gigabyte a second has lost 10 by then
    turn = 1  # the processes come first

    def __init__(self, context: Context, space: Callable[[str], Space | None] = read_space) -> None:
        super().__init__(context)
        self._mountinfo = context.proc / "self/mountinfo"
        self._space = space

    def collect(self) -> Iterator[Sample]:
        """Yields the samples. Raises NoData without a mountinfo, SourceError for a bad one."""
        shm = [*self._shm(), *self._server_shm()]
        data = read_bytes(self._mountinfo)
        if data is None and not shm:
            raise NoData(f"neither {SHM} nor {self._mountinfo} exists: not Linux, or /proc is not mounted")
        yield from shm
        if data is not None:
            yield from self._all(understood(data))

    def _shm(self) -> Iterator[Sample]:
        """Yields the space of /dev/shm, in which vLLM's processes pass tensors; Docker's default is 64 MiB."""
        space = self._space(SHM)
        if space is not None:
            yield names.HOST_SHM_SIZE_BYTES.sample(space.size)
            yield names.HOST_SHM_FREE_BYTES.sample(space.free)

    def _server_shm(self) -> Iterator[Sample]:
        """Yields each server's space, read through the root directory of its process, which needs the right to."""
        trees = self.context.board.latest(Trees)
        for server, one in trees.mains().items() if trees else ():
            space = self._space(f"{self.context.proc}/{one.ref.pid}/root{SHM}")
            if space is not None:
                yield names.SERVER_SHM_SIZE_BYTES.sample(space.size, server=server)
                yield names.SERVER_SHM_FREE_BYTES.sample(space.free, server=server)

    def _all(self, choice: Choice) -> Iterator[Sample]:
        errors = 0
        for mount in choice.asked:
            space = self._space(mount.point)
            if space is None:
                errors += 1
            else:
                yield from samples(mount, space)
        skipped = {"remote": choice.remote, "limit": choice.over_limit, "error": errors}
        for reason, count in skipped.items():
            yield names.HOST_FILESYSTEMS_SKIPPED.sample(count, reason=reason)


def samples(mount: Mount, space: Space) -> Iterator[Sample]:
    labels = {"mountpoint": mount.point, "fstype": mount.fstype}
    yield names.HOST_FILESYSTEM_SIZE_BYTES.sample(space.size, **labels)
    yield names.HOST_FILESYSTEM_FREE_BYTES.sample(space.free, **labels)
    yield names.HOST_FILESYSTEM_READ_ONLY.sample(mount.read_only, **labels)
    if space.files:
        yield names.HOST_FILESYSTEM_FILES.sample(space.files, **labels)
        yield names.HOST_FILESYSTEM_FILES_FREE.sample(space.files_free, **labels)


def understood(mountinfo: bytes) -> Choice:
    """Chooses file systems from mountinfo. Raises SourceError for any other text."""
    try:
        return choose(parse_mountinfo(mountinfo))
    except (ValueError, LookupError):
        raise SourceError(f"mountinfo: not what the kernel documents: {mountinfo[:80]!r}") from None
