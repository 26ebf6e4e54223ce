"""The lines of a kernel that tell of a fault: one list of their forms, for /dev/kmsg and for other logs. Pure.

What stands before a form (uptime, host, `kernel:`) does not matter. A line that only announces or repeats another of
the same fault has no form: `Kill process … or sacrifice child`, `oom_reaper: reaped process`, the registers of an SXid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vllm_exporter.facts.events import Severity
from vllm_exporter.facts.xids import SEVERITIES, XidClass, classify_line

KernelKind = Literal[
    "xid",  # NVIDIA's driver reports an error of a GPU
    "lost",  # a GPU does not answer on its bus
    "sxid",  # an error of an NVSwitch
    "init",  # a GPU cannot be initialised
    "hang",  # work on a GPU does not end
    "reset",  # the driver resets a GPU: what it computed is lost
    "fault",  # a program read or wrote where it must not
    "ras",  # an error of the GPU's memory that is not corrected
    "oom_kill",  # the kernel killed a process to get memory back
    "crash",  # a process of vLLM's ended by a fault of its own
    "hung_task",  # a process of vLLM's does not get on inside the kernel
]


@dataclass(frozen=True)
class KernelEvent:
    """The fault that a line tells of; `start` and `end` are where in the line it does."""

    kind: KernelKind
    severity: Severity
    start: int
    end: int
    address: str = ""  # of the GPU, as in sysfs (0000:17:00.0); '' when the line does not say
    code: int | None = None  # of an Xid or SXid
    xid_class: XidClass = "unknown"  # of an Xid: what to do at once
    pid: int = 0
    name: str = ""  # of a process, as the kernel cuts it: 15 characters
    cgroup: bool = False  # of an OOM kill: for a cgroup's limit; else the host was out of memory


Judge = Callable[[re.Match[str]], KernelEvent | None]


@dataclass(frozen=True)
class KernelForm:
    """A form of a line. Most lines lack the word, and are not looked at further."""

    kind: KernelKind
    word: str
    form: re.Pattern[str]
    judge: Judge


# The GPU stands between the words "NVRM: Xid" and the code. Its form depends on the age of the driver:
#   (0002:00)                           before 2012: bus and slot
#   (0000:03:00)                        until 2014: domain, bus, slot
#   (PCI:0000:05:00)                    since
#   (PCI:0000:01:00 GPU-I:05)           with the MIG instance, since 2020; (… GPU-I:01 GPU-CI:02) too
_ADDRESS = re.compile(r"(?<![0-9a-zA-Z])((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2,4}:[0-9a-fA-F]{2}(?:\.[0-9a-fA-F])?)\b")
# Threads have names of their own (pt_main_thread, cuda-EvtHandlr); a crash in one of these libraries is vLLM's too.
_OURS = re.compile(r"(?i)VLLM|python|ray::|raylet|pt_|EngineCor|APIServer|Worker|nccl|cuda|rocm|hip|uvicorn|triton")
_OUR_LIBRARY = re.compile(
    r"(?i)torch|c10|cuda|cublas|cudnn|nccl|nvrtc|nvidia|hip|rocm|hsa|python|vllm|_C\.abi3|flashinfer|triton|nixl|"
    r"libuc[pst]|mooncake|lmcache|ascend"
)


def parse_kernel_line(line: str) -> KernelEvent | None:
    """Returns what the line tells; None when it tells of no fault, as most do."""
    return next(_events(line), None)


def words_of(kind: str) -> tuple[str, ...]:
    """Returns the words of which a line of this kind has one."""
    return tuple(dict.fromkeys(form.word for form in FORMS if form.kind == kind))


def normal_bus(text: str) -> str:
    """Converts '0002:00', '0000:03:00' and '00000000:03:00.0' to the form of sysfs."""
    parts = text.lower().partition(".")[0].split(":")
    domain, bus, slot = parts if len(parts) == 3 else ("0", *parts)
    return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{slot}.0"


def _events(line: str) -> Iterator[KernelEvent]:
    for form in FORMS:
        if form.word in line:
            found = form.form.search(line)
            event = form.judge(found) if found else None
            if event is not None:
                yield event


def _address(text: str) -> str:
    found = _ADDRESS.search(text)
    return normal_bus(found[1]) if found else ""


def _xid(found: re.Match[str]) -> KernelEvent:
    rest = found.string[found.end() :]
    code = int(found[2]) if found[2] else None
    kind, _ = classify_line(-1 if code is None else code, rest)
    end = len(found.string.rstrip())
    if code == 79 or "fallen off the bus" in rest:
        return KernelEvent("lost", "critical", found.start(), end, _address(found[1]), code, kind)
    return KernelEvent("xid", SEVERITIES[kind], found.start(), end, _address(found[1]), code, kind)


def _sxid(found: re.Match[str]) -> KernelEvent | None:
    severity: Severity = "critical" if found[3] == "Fatal" else "warning"
    return KernelEvent("sxid", severity, *_rest_of_line(found), _address(found[1]), int(found[2]))


def _simple(kind: KernelKind, severity: Severity) -> Judge:
    """Makes the judge of a form that says it all."""

    def judge(found: re.Match[str]) -> KernelEvent:
        return KernelEvent(kind, severity, *_rest_of_line(found), _address(found[0]))

    return judge


def _rest_of_line(found: re.Match[str]) -> tuple[int, int]:
    return found.start(), len(found.string.rstrip())


def _oom_kill(found: re.Match[str]) -> KernelEvent:
    """Spans who was killed, not the sizes behind."""
    cgroup = found[0].startswith("Memory cgroup")
    return KernelEvent("oom_kill", "critical", *found.span(), pid=int(found["pid"]), name=found["name"], cgroup=cgroup)


def _crash(found: re.Match[str]) -> KernelEvent | None:
    library = found.string[found.end() :].partition(" in ")[2].partition("[")[0]
    if not (_OURS.match(found["name"]) or _OUR_LIBRARY.search(library)):
        return None
    return KernelEvent("crash", "critical", *_rest_of_line(found), pid=int(found["pid"]), name=found["name"])


def _hung_task(found: re.Match[str]) -> KernelEvent | None:
    if not _OURS.match(found["name"]):
        return None
    return KernelEvent("hung_task", "error", *_rest_of_line(found), pid=int(found["pid"]), name=found["name"])


def _form(kind: KernelKind, word: str, form: str, judge: Judge | Severity) -> KernelForm:
    return KernelForm(kind, word, re.compile(form), _simple(kind, judge) if isinstance(judge, str) else judge)


_PROCESS = r"(?<![^\s;])(?P<name>[^\s\[\]]{1,15})\[(?P<pid>\d{1,8})\]"
_MEMORY = r"(?:Memory cgroup o|O)ut of memory[^:]{0,40}: "
_KILLED = r"Killed process (?P<pid>\d{1,10}),?(?: UID \d+,)? "
FORMS = (
    _form("lost", "Xid (", r"(?:NVRM: )?\bXid \(([^)]{1,60})\):? ?(79)\b", _xid),
    _form("xid", "Xid (", r"(?:NVRM: )?\bXid \(([^)]{1,60})\):? ?(?:(\d{1,4})\b)?", _xid),
    _form("lost", "fallen off the bus", r"NVRM: .*\bfallen off the bus|\bGPU has fallen off the bus", "critical"),
    _form("lost", "lost from bus", r"amdgpu .*\bdevice lost from bus", "critical"),
    _form("lost", "as wedged", r"\bXe has declared device \S+ as wedged", "critical"),
    _form("sxid", "SXid (", r"\bSXid \(([^)]{1,60})\):? ?(\d{1,6}), (?!Severity|Data)(?:(Fatal|Non-?fatal)\b)?", _sxid),
    _form("init", "RmInitAdapter failed", r"NVRM: .*RmInitAdapter failed", "critical"),
    _form("init", "Fatal error during GPU init", r"amdgpu.*Fatal error during GPU init", "critical"),
    _form("hang", "GPU is probably locked", r"NVRM: .*GPU is probably locked", "error"),
    _form("hang", " timeout, but soft", r"(?:amdgpu|\[drm).*\bring \S+ timeout, but soft recovered", "warning"),
    _form("hang", " timeout, signaled", r"(?:amdgpu|\[drm).*\bring \S+ timeout, signaled seq=", "error"),
    _form("hang", " timeout, last signaled", r"(?:amdgpu|\[drm).*\bring \S+ timeout, last signaled seq=", "error"),
    _form("hang", "fence wait loop timeout", r"(?:amdgpu|\[drm).*\bfence wait loop timeout", "error"),
    _form("hang", "unrecoverable state", r"(?:amdgpu|\[drm).*\bmight be in (?:an )?unrecoverable state", "error"),
    _form("hang", "MES failed to respon", r"(?:amdgpu|\[drm).*\bMES failed to respon(?:d|se) ", "error"),
    _form("hang", " reset failed", r"amdgpu.*\bRing \S+ reset failed", "error"),
    _form("hang", " reset succeeded", r"amdgpu.*\bRing \S+ reset succeeded", "warning"),
    _form("hang", ": Timedout job: ", r"\bxe .*: Timedout job: ", "error"),
    _form("hang", "Engine reset: engine_class=", r"\bxe .*\bEngine reset: engine_class=", "error"),
    _form("hang", "GPU HANG: ecode", r"\[drm\] GPU HANG: ecode", "error"),
    _form("reset", "GPU reset begin", r"amdgpu.*\bGPU reset begin", "critical"),
    _form("reset", "GPU reset end with ret = -", r"amdgpu.*\bGPU reset end with ret = -", "critical"),
    _form("reset", "Going to reset device", r"\bhabanalabs .*: Going to reset device$", "critical"),
    _form("reset", "Going to RESET device", r"\bhabanalabs .*: Going to RESET device", "critical"),
    _form("fault", "page fault (src_id", r"amdgpu.*\bpage fault \(src_id", "error"),
    _form(
        "ras",
        "uncorrectable hardware error",
        r"amdgpu.*(?:(?<!\w)[1-9]\d* (?:new )?uncorrectable hardware errors|\buncorrectable hardware error\()",
        "critical",
    ),
    _form(
        "oom_kill",
        "Killed process ",
        rf"(?:{_MEMORY})?{_KILLED}\((?P<name>.{{1,64}})\)(?=,?(?: UID \d+,)? total-vm:)",
        _oom_kill,
    ),
    _form(  # a line that was cut
        "oom_kill",
        "Killed process ",
        rf"{_MEMORY}{_KILLED}\((?P<name>[^)]{{1,64}})\)",
        _oom_kill,
    ),
    _form("crash", "]: segfault at ", _PROCESS + r": segfault at ", _crash),
    _form("crash", "]: unhandled ", _PROCESS + r": unhandled [\w -]{1,60}(?:\(\d+\) at |: )", _crash),  # arm64
    _form("crash", "] trap ", _PROCESS + r" trap [\w -]{1,40} ip:", _crash),
    _form("crash", "] general protection", _PROCESS + r" general protection(?: fault)? ip:", _crash),
    _form("crash", " dumped core", r"\bProcess (?P<pid>\d+) \((?P<name>[^)]{1,15})\) of user \d+ dumped core", _crash),
    _form(
        "hung_task",
        " for more than ",
        r"\bINFO: task (?P<name>.{1,15}):(?P<pid>\d+) blocked(?: in I/O wait)? for more than \d+ s",
        _hung_task,
    ),
)
