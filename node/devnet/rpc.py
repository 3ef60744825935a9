"""One JSON-RPC call at a time to a local chain, for set-up, health checks and proofs.

Not here: what a node does with the chain (`adapters.evm`).
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from node.devnet.errors import DevnetError


def call(url: str, method: str, *params: Any, limit_s: float = 30.0) -> Any:
    """Result of one call to an `http://` endpoint.

    Proxies of the environment are not used: they cannot reach a chain on this machine.

    Raises:
        DevnetError: No answer, or the chain answered with an error.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit_s)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    try:
        connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DevnetError(f"the chain at {url} does not answer {method}: {error}") from error
    finally:
        connection.close()
    if "error" in answer:
        raise DevnetError(f"{method}: {answer['error'].get('message', answer['error'])}")
    return answer.get("result")
