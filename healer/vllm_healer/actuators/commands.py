"""Tells vLLM's processes by their titles and command lines, those of packages that extend or wrap it too. Pure.

The exporter knows them by the same patterns (subjects/processes/titles.py): what it shows as vLLM's is vLLM's here.
"""

from __future__ import annotations

import os
import re

MAX_NAME = 200  # characters of a module's or a script's name

# Titles that vLLM gives its processes (setproctitle); VLLM_PROCESS_NAME_PREFIX changes what stands before the colons.
# Packages that extend vLLM have classes of their own behind vLLM's own prefix: VLLM::StageEngineCoreProc_DP0.
_TITLE = re.compile(
    r"(?:[\w.-]+::|(?i:vllm)[\w.-]{0,20}::[A-Za-z0-9]{1,40}?)(APIServer|EngineCore|Worker|DPCoordinator)"
)
_ROLES = {"APIServer": "api_server", "EngineCore": "engine_core", "Worker": "worker", "DPCoordinator": "helper"}

# Commands and modules that are followed by `serve`: vllm, vllm-0.9, vllm-omni, vllm.pex. Programs beside an engine have
# such names too.
_BESIDE = r"(?!.*(?:exporter|healer|monitor|router|proxy|gateway|client|bench|playground))"
_COMMAND = re.compile(
    _BESIDE + r"(?:[a-z0-9]{1,40}[-_])?vllm(?:[-_.]?v?[0-9][\w.+-]{0,40}|[-_]\w{1,40})?(?:\.(?:py|pyz|pex))?"
)
_COMMAND_MODULE = re.compile(_BESIDE + r"vllm(?:_\w{1,40})?(?:\.entrypoints\.cli\.main)?")
# vllm.entrypoints.openai.api_server; vllm_omni, ipex_llm.vllm.xpu … in its place; llumnix.entrypoints.vllm
_SERVER_MODULE = re.compile(
    r"(?:\w+\.){0,4}(?:vllm\w{0,40}(?:\.\w+){0,3}\.entrypoints(?:\.\w+){0,2}|entrypoints\.vllm\w{0,40})"
    r"\.(?:api_server|grpc_server)"
)
# dynamo.vllm, vllm_tgis_adapter, fastchat.serve.vllm_worker: they run vLLM's engine
_WRAPPER_MODULE = re.compile(r"(?:\w+\.){1,4}vllm(?:\.main)?|(?:\w+\.){0,4}vllm_(?:worker|tgis_adapter)")
_SERVER_SCRIPT = re.compile(r"(?:.*/)?vllm\w{0,40}/entrypoints/(?:openai/)?api_server\.py")
_WITH_VALUE = "XW"  # options of the interpreter that take a value


def role_of(argv: tuple[str, ...]) -> str:
    """The role by the title that vLLM sets; without one, by the command line."""
    title = _TITLE.match(argv[0]) if argv else None
    if title:
        return _ROLES[title.group(1)]
    return "api_server" if is_vllm_serve(argv) else "helper"


def is_vllm_serve(argv: tuple[str, ...]) -> bool:
    """True for vLLM's server, directly or through Python; a wrapper (bash -c, uv run) only mentions it."""
    if not argv:
        return False
    name, module, rest = _program(argv[1:]) if is_python(argv[0]) else (argv[0], False, argv[1:])
    words = name if module else "/".join(name.split("/")[-4:])  # a folder's path may be as long as it likes
    if len(words) > MAX_NAME:
        return False
    if module:
        known = _SERVER_MODULE.fullmatch(name) or _WRAPPER_MODULE.fullmatch(name)
        return bool(known) or (_COMMAND_MODULE.fullmatch(name) is not None and rest[:1] == ("serve",))
    command = _COMMAND.fullmatch(os.path.basename(name)) is not None
    return _SERVER_SCRIPT.fullmatch(words) is not None or (command and rest[:1] == ("serve",))


def model_of(argv: tuple[str, ...]) -> str:
    """The model that a server's command line names, a path or a name; '' when it is not seen there."""
    if not is_vllm_serve(argv):
        return ""
    for at, word in enumerate(argv):
        if word == "--model" and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith("--model="):
            return word.partition("=")[2]
    after = argv[argv.index("serve") + 1 :] if "serve" in argv else ()
    return after[0] if after and not after[0].startswith("-") else ""


def is_python(program: str) -> bool:
    """True for an interpreter, as python3.13t and pypy3 are."""
    return os.path.basename(program).startswith(("python", "pypy"))


def _program(words: tuple[str, ...]) -> tuple[str, bool, tuple[str, ...]]:
    """Reads what an interpreter runs: its name, whether it is a module (-m), its arguments; no name for `-c`."""
    while words and words[0].startswith("-"):
        option, words = words[0], words[1:]
        if option.startswith("--"):
            continue
        for at, letter in enumerate(option[1:], 1):
            behind = option[at + 1 :]
            if letter == "m":
                rest = (behind, *words) if behind else words
                return (rest[0], True, rest[1:]) if rest else ("", True, ())
            if letter == "c":
                return "", False, ()
            if letter in _WITH_VALUE:
                words = words if behind else words[1:]
                break
    return (words[0], False, words[1:]) if words else ("", False, ())
