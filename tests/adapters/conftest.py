"""What several tests of providers use."""

from collections.abc import AsyncIterator

import pytest

from tests.adapters.lying_rpc import lying
from tests.adapters.reading import Site
from tests.rig import AnvilServer


@pytest.fixture
async def site(anvil: AnvilServer) -> AsyncIterator[Site]:
    async with lying(anvil.rpc_url) as first, lying(anvil.rpc_url) as second:
        site = Site(anvil, first, second)
        yield site
        await site.providers.close()
