"""A Python client of a node: `Client`, and `AsyncClient` to be awaited.

To ask, httpx is all it needs. `node.client.webhooks` and `node.client.signing`, which need
cryptography, are imported by whoever uses them; nothing of the node itself ever is, but values of
`node.core`. Errors are in `node.client.errors`, one class per code in `node.client.problems`.
"""

from node.client.async_client import AsyncClient as AsyncClient
from node.client.calls import Call as Call
from node.client.calls import new_key as new_key
from node.client.client import Client as Client
from node.client.errors import AnswerLost as AnswerLost
from node.client.errors import ClientError as ClientError
from node.client.errors import NodeAway as NodeAway
from node.client.errors import NotCorridor as NotCorridor
from node.client.errors import Problem as Problem
from node.client.errors import WaitedTooLong as WaitedTooLong
from node.client.errors import WebhookUnverified as WebhookUnverified
