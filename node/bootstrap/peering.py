"""The partners that pay out, as their file names them: opened, and closed again."""

from collections.abc import Sequence

from adapters.http.signing import sign_now
from adapters.partners import CorridorNode, load_peers
from node.config import Settings, SettingsInvalid
from node.core.catalog import Catalog


def payout_partners(settings: Settings, catalog: Catalog) -> Sequence[CorridorNode]:
    """The partners of the setting, the preferred ones first; nothing is asked of them yet.

    Raises:
        SettingsInvalid: The file cannot be read; says where.
    """
    if settings.peers_file is None:
        return ()
    try:
        peers = load_peers(settings.peers_file)
    except ValueError as error:
        raise SettingsInvalid(f"CORRIDOR_PEERS_FILE: {error}") from None
    return [CorridorNode(each, catalog.assets, sign=sign_now) for each in peers]


async def close_partners(partners: Sequence[CorridorNode]) -> None:
    """Let go of their connections."""
    for each in partners:
        await each.close()
