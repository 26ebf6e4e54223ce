"""Lines as shippers, launchers and terminals write them: the same text, with something before, behind or around it."""

from __future__ import annotations

import json
from collections.abc import Callable

Wrap = Callable[[int, bytes], bytes]  # the number of the line, which its time follows, and the line

UUID = b"4f1c2a9e-7c1b-4a52-9a53-1c0e4a5b6c7d"


def clock(at: int) -> bytes:
    """14:55:06 and later."""
    seconds = 14 * 3600 + 55 * 60 + 6 + at // 40
    return b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def iso(at: int, rest: bytes = b"Z") -> bytes:
    return b"2026-11-21T" + clock(at) + rest


def nano(at: int) -> bytes:
    """As Docker and kubectl write it: without zeros at the end."""
    return iso(at, b"." + (b"%09d" % ((at + 1) * 7919 * 1000 % 10**9)).rstrip(b"0") + b"Z")


def before(text: Callable[[int], bytes]) -> Wrap:
    return lambda at, line: text(at) + line


def docker_json(at: int, line: bytes) -> bytes:
    return json.dumps({"log": line.decode() + "\n", "stream": "stderr", "time": nano(at).decode()}).encode()


def fluent_bit(at: int, line: bytes) -> bytes:
    about = {"pod_name": "vllm-0", "namespace_name": "prod", "container_name": "vllm"}
    return json.dumps({"@timestamp": nano(at).decode(), "log": line.decode(), "kubernetes": about}).encode()


def journald_json(at: int, line: bytes) -> bytes:
    fields = {
        "__REALTIME_TIMESTAMP": str(1795272906000000 + at),
        "PRIORITY": "6",
        "_PID": "8707",
        "MESSAGE": line.decode(),
    }
    return json.dumps(fields).encode()


def cloud_logging(at: int, line: bytes) -> bytes:
    labels = {"resource": {"labels": {"pod_name": "vllm-0"}}, "severity": "DEFAULT"}
    return json.dumps({"textPayload": line.decode(), "timestamp": iso(at).decode(), **labels}).encode()


def logfmt(at: int, line: bytes) -> bytes:
    text = line.decode().replace("\\", "\\\\").replace('"', '\\"')
    return f'time="{iso(at).decode()}" source=stdout msg="{text}"'.encode()


def cloudwatch(at: int, line: bytes) -> bytes:
    """A row of CSV; each line ends with a carriage return, as rsyslog writes it."""
    text = line.decode() + "#015"
    quoted = '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text
    return f"{1795272906000 + at},{quoted}".encode()


def coloured(at: int, line: bytes) -> bytes:
    """As a terminal shows it: each word in a colour of its own."""
    return b"\x1b[0;36m" + line.replace(b" ", b"\x1b[0m \x1b[38;5;%dm" % (at % 200), 6) + b"\x1b[0m"


WRAPS: dict[str, Wrap] = {
    "syslog (RFC 3164)": before(lambda at: b"Nov 21 " + clock(at) + b" host1 vllm[8707]: "),
    "syslog with ISO times (rsyslog's default)": before(
        lambda at: iso(at, b".%06d+00:00" % (at * 37 % 10**6)) + b" host1 vllm[8707]: "
    ),
    "syslog (RFC 5424)": before(
        lambda at: b"<%d>1 " % (13 + at % 2) + iso(at) + b' host1 vllm 8707 - [meta sequenceId="%d"] ' % (at + 1)
    ),
    "syslog (RFC 5424) without data": before(lambda at: b"<14>1 " + iso(at) + b" host1 vllm 8707 - - "),
    "journalctl": before(lambda at: b"Nov 21 " + clock(at) + b" host1 python3[8707]: "),
    "journalctl --output=short-iso": before(lambda at: iso(at, b"+0100") + b" host1 vllm[8707]: "),
    "journalctl --output=short-precise": before(
        lambda at: b"Nov 21 " + clock(at) + b".%06d host1 vllm[8707]: " % (at * 31 % 10**6)
    ),
    "journalctl --output=short-unix": before(lambda at: b"17952729%02d.%06d host1 vllm[8707]: " % (at // 40, at)),
    "journalctl --output=short-full": before(lambda at: b"Sat 2026-11-21 " + clock(at) + b" UTC host1 vllm[8707]: "),
    "journalctl --output=json": journald_json,
    "docker compose": before(lambda at: b"vllm-1  | "),
    "docker compose --timestamps": before(lambda at: b"vllm-1  | " + nano(at) + b" "),
    "docker logs --timestamps": before(lambda at: nano(at) + b" "),
    "docker service logs": before(lambda at: b"llm_vllm.1.x8a9b0c1d2e3@node-7    | "),
    "Docker's json-file": docker_json,
    "kubectl --prefix": before(lambda at: b"[pod/vllm-7d4b9c6f5-x2x9z/vllm] "),
    "kubectl --prefix --timestamps": before(lambda at: b"[pod/vllm-7d4b9c6f5-x2x9z/vllm] " + nano(at) + b" "),
    "stern": before(lambda at: b"vllm-7d4b9c6f5-x2x9z vllm "),
    "stern --timestamps": before(lambda at: b"vllm-7d4b9c6f5-x2x9z vllm " + nano(at) + b" "),
    "a container's file in Kubernetes (CRI)": before(lambda at: nano(at) + b" stderr F "),
    "fluent-bit": fluent_bit,
    "Cloud Logging": cloud_logging,
    "logcli": before(lambda at: iso(at) + b' {app="vllm", pod="vllm-0"} '),
    "logfmt": logfmt,
    "Loki's raw line with a stream": before(lambda at: b"stderr: "),
    "torch": before(lambda at: b"[rank3]: "),
    "torchrun": before(lambda at: b"[default3]:"),
    "mpirun": before(lambda at: b"[1,3]<stderr>:"),
    "mpirun --timestamp-output": before(lambda at: b"Sat Nov 21 " + clock(at) + b" 2026[1,3]<stderr>:"),
    "srun --label": before(lambda at: b" 3: "),
    "Ray": before(lambda at: b"(ServeReplica:default:LLM pid=2024, ip=10.0.0.7) "),
    "Ray in colours": before(lambda at: b"\x1b[36m(RayWorkerWrapper pid=2024)\x1b[0m "),
    "supervisord's events": before(lambda at: b"2026-11-21 " + clock(at) + b",123 vllm stderr | "),
    "honcho": before(lambda at: clock(at) + b" vllm.1  | "),
    "a pipeline of continuous integration": before(lambda at: iso(at, b".1234567Z") + b" "),
    "Buildkite": before(lambda at: b"\x1b_bk;t=17952729%05d\x07" % at),
    "Slurm's and mpirun's names": before(lambda at: b"[node-17:rank 3] "),
    "a syslog server's file": before(lambda at: b"Nov 21 " + clock(at) + b" 10.0.0.7 " + UUID + b"[8707]: "),
    "a terminal": coloured,
    "a browser's copy of a terminal": lambda at, line: coloured(at, line).replace(b"\x1b", b""),
    "rsyslog's copy of a terminal": lambda at, line: (
        b"Nov 21 " + clock(at) + b" host1 vllm[8707]: " + coloured(at, line).replace(b"\x1b", b"#033")
    ),
    "a sidecar": before(lambda at: b"[VllmSidecar a1b2]: " + iso(at, b".672Z") + b" 1 stdout: "),
    "another program's own log": before(
        lambda at: b"2026-11-21 " + clock(at) + b",594 - __main__ - INFO - [container] "
    ),
    "a pod's name and a colon": before(lambda at: b"vllm-7d4b9c6f5-x2x9z: "),
    "Datadog's export": before(lambda at: iso(at, b".123Z") + b",vllm-0,vllm,info,"),
    "ts": before(lambda at: b"Nov 21 " + clock(at) + b" "),
    "ts -s": before(lambda at: b"00:%02d:%02d " % (at // 60, at % 60)),
    "grep -H": before(lambda at: b"vllm.log:"),
    "a date of another country": before(lambda at: b"21/11/2026 " + clock(at) + b" | "),
    "a time with the name of its zone": before(lambda at: b"2026-11-21 " + clock(at) + b" CET "),
    "a program that calls all lines INFO": before(lambda at: iso(at) + b"\tINFO\tvllm\t"),
    "torchrun with torch's rank": before(lambda at: b"[default3]:[rank3]: "),
    "CloudWatch's export": cloudwatch,
    "a quotation in Markdown": before(lambda at: b"> > "),
    "Azure's table": before(lambda at: iso(at, b".123Z") + b"\tvllm-0\tstderr\t"),
    "cat -n": before(lambda at: b"%6d\t" % (at + 1)),
    "TAI64N (multilog, s6-log)": before(lambda at: b"@4000000067507a1b%08x " % (at * 7)),
    "pm2": before(lambda at: b"0|vllm     | "),
    "a bar": before(lambda at: b"  | "),
    "two of them": before(lambda at: b"Nov 21 " + clock(at) + b" host1 docker[77]: vllm-1  | "),
}
