"""XID codes of NVIDIA's driver: what to do at once, how bad that is, and in words. Data.

Source: NVIDIA, "Analyzing Xid Errors with the Xid Catalog", column "Resolution Bucket (Immediate Action)", as of
2025-10-29: https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html. Where the catalogue names a workflow
instead of an action, the class is what that workflow starts with: 48 and 154 lead to `recovery_action` (read
vllm_gpu_recovery_action), 74 and 144 to 150 to `nvlink`, and 45 follows from another XID and is to be ignored. How bad
144 to 150 are stands in the rest of the line, which only the kernel's log has: the catalogue's table of NVLink 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from vllm_exporter.facts.events import Severity

XidClass = Literal[
    "restart_app",
    "reset_gpu",
    "restart_host",
    "recovery_action",
    "nvlink",
    "check_power",
    "update_software",
    "contact_support",
    "ignore",
    "unknown",
]

SEVERITIES: dict[XidClass, Severity] = {
    "restart_app": "error",  # a fault of the program: its engine dies, and the GPU stays well
    "reset_gpu": "critical",
    "restart_host": "critical",
    "recovery_action": "critical",
    "nvlink": "critical",
    "check_power": "critical",
    "update_software": "error",
    "contact_support": "error",
    "ignore": "warning",
    "unknown": "error",
}


def _alike(codes: Iterable[int], kind: XidClass, words: str) -> dict[int, tuple[XidClass, str]]:
    return dict.fromkeys(codes, (kind, words))


XIDS: dict[int, tuple[XidClass, str]] = {
    8: ("restart_app", "GPU stopped processing"),
    11: ("restart_app", "invalid or corrupted push buffer stream"),
    13: ("restart_app", "graphics engine exception"),
    25: ("restart_app", "invalid or illegal push buffer stream"),
    31: ("restart_app", "GPU memory page fault"),
    32: ("restart_app", "invalid or corrupted push buffer stream"),
    37: ("ignore", "driver firmware error"),
    38: ("ignore", "driver firmware error"),
    39: ("restart_app", "copy engine exception"),
    40: ("restart_app", "copy engine exception"),
    41: ("restart_app", "copy engine exception"),
    43: ("ignore", "GPU stopped processing"),
    44: ("ignore", "graphics engine fault during context switch"),
    45: ("ignore", "preemptive clean-up after an earlier error"),
    46: ("reset_gpu", "GPU stopped processing"),
    48: ("recovery_action", "double bit ECC error"),
    54: ("check_power", "auxiliary power is not connected to the board"),
    60: ("restart_app", "video processor exception"),
    62: ("reset_gpu", "internal micro-controller halt"),
    63: ("ignore", "GPU memory remapping event"),
    64: ("reset_gpu", "GPU memory remapping failure"),
    66: ("ignore", "illegal access by driver"),
    67: ("ignore", "illegal access by driver"),
    68: ("restart_app", "video decoder exception"),
    69: ("restart_app", "graphics engine class error"),
    74: ("nvlink", "NVLink error"),
    78: ("update_software", "vGPU start error"),
    79: ("restart_host", "GPU has fallen off the bus"),
    80: ("restart_app", "corrupted data sent to the GPU"),
    92: ("ignore", "high single-bit ECC error rate"),
    93: ("ignore", "InfoROM wear limit exceeded"),
    94: ("restart_app", "contained memory error"),
    95: ("reset_gpu", "uncontained memory error"),
    109: ("reset_gpu", "context switch timeout"),
    110: ("reset_gpu", "security fault"),
    119: ("reset_gpu", "GSP call timed out"),
    120: ("reset_gpu", "GSP error"),
    121: ("ignore", "C2C error"),
    136: ("reset_gpu", "link training failed"),
    137: ("ignore", "NVLink privilege error"),
    140: ("reset_gpu", "unrecovered ECC error"),
    141: ("ignore", "CUDA fast path error"),
    143: ("reset_gpu", "GPU initialization error"),
    144: ("nvlink", "NVLink SAW error"),
    145: ("nvlink", "NVLink RLW error"),
    146: ("nvlink", "NVLink TLW error"),
    147: ("nvlink", "NVLink TREX error"),
    148: ("nvlink", "NVLink NVLPW_CTRL error"),
    149: ("nvlink", "NVLink NETIR error"),
    150: ("nvlink", "NVLink MSE error"),
    151: ("restart_host", "key rotation error"),
    154: ("recovery_action", "GPU recovery action changed"),
    155: ("reset_gpu", "NVLink error defined by software"),
    156: ("reset_gpu", "resource retirement event"),
    157: ("ignore", "resource retirement failure"),
    158: ("reset_gpu", "GPU fatal timeout"),
    160: ("ignore", "channel retirement event"),
    161: ("ignore", "channel retirement failure"),
    # An engine of which a GPU has several has a code for each.
    **_alike((70, 71, 72, 75, 76, 77, 85, *range(126, 136)), "restart_app", "copy engine exception"),
    **_alike((83, 84, 88, 89, 96, 97, 98), "restart_app", "video decoder exception"),
    **_alike((82, *range(99, 106)), "restart_app", "JPEG engine exception"),
    **_alike((86, 139), "restart_app", "optical flow engine exception"),
    **_alike((106, 107), "ignore", "test message"),
    108: ("ignore", "NVLink remote translation error"),
    **_alike((152, 153), "ignore", "deep learning accelerator error"),
    162: ("ignore", "power smoothing works again"),
    # In the catalogue without an action; 171 and 172 give details on a 48.
    167: ("contact_support", "PCIe fatal timeout"),
    168: ("contact_support", "reduced GPU memory capacity"),
    169: ("contact_support", "internal micro-controller halt"),
    171: ("recovery_action", "uncorrectable DRAM error"),
    172: ("recovery_action", "uncorrectable SRAM error"),
}


def classify(code: int) -> tuple[XidClass, str]:
    """Returns class and description; `unknown` for a code that is not in the table: NVIDIA's catalogue may have it."""
    return XIDS.get(code, ("unknown", "not in the catalogue that this release knows"))


NVLINK5 = range(144, 151)
_HARM = re.compile(r"\b(Non-?fatal|Fatal)\b(?:[^(]*\(0x([0-9a-fA-F]{1,8}))?")
_HARMLESS_DOWN = (0x26, 0x28)  # sub-codes of a link that went down which the catalogue says to ignore
_RECOVERED = "to 0x0 (None)"  # 154: there is nothing left to do


def classify_line(code: int, rest: str) -> tuple[XidClass, str]:
    """Returns what classify does, by the whole line of the kernel: what stands behind the code can make it harmless."""
    kind, words = classify(code)
    if code == 154 and _RECOVERED in rest:
        return "ignore", words
    found = _HARM.search(rest) if code in NVLINK5 else None
    if found is None:
        return kind, words
    sub_code = int(found[2] or "0", 16) >> 20 & 0x3F
    harmless = found[1] != "Fatal" or (code == 149 and sub_code in _HARMLESS_DOWN)
    return ("ignore" if harmless else "reset_gpu"), words
