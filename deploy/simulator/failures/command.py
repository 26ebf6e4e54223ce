"""`break`, `mend` and `failures` on the command line: a request to a server of this host."""

from __future__ import annotations

import argparse
import http.client
import json

from deploy.simulator.errors import NotPossible
from deploy.simulator.failures.catalogue import FAILURES, find
from deploy.simulator.failures.state import FileState

TIMEOUT = 5.0  # seconds; a server whose engine hangs answers all the same


def switch(arguments: argparse.Namespace) -> int:
    if arguments.command == "failures":
        width = max(map(len, FAILURES))
        print("\n".join(f"{failure.how:<{width}}  {failure.words}" for failure in FAILURES.values()))
        return 0
    if arguments.command == "break":
        find(arguments.how)
        answer = _post(arguments.port, "/sim/break", {"how": arguments.how, "times": arguments.times})
        print(f"{arguments.how}: {answer.get('words', '')}")
        return 0
    return _mend(arguments)


def _mend(arguments: argparse.Namespace) -> int:
    if arguments.state:
        FileState(arguments.state).write(None)
        print(f"{arguments.state}: the next start is a healthy one")
    else:
        answer = _post(arguments.port, "/sim/mend", {})
        print(f"mended: {answer.get('mended') or 'nothing was broken'}")
    return 0


def _post(port: int, path: str, body: object) -> dict[str, object]:
    """Raises NotPossible when the server refuses or is not there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, object] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotPossible(f"no simulated server answers on port {port}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise NotPossible(str(answer.get("error", answer)))
    return answer
