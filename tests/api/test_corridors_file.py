"""What the corridors file says is what is offered, shown and charged."""

from pathlib import Path

import httpx
from eth_account import Account

from node.api.app import create_app
from node.bootstrap.wiring import open_node
from node.core.parties import Principal, Role
from tests.api.conftest import settings_in

OFFER = """
[pricing]
method = "first"
sources_min = 1
disagreement_max_bps = 500
jump_max_bps = 1000
bridge = ["EUR", "USD"]

[exposure]
JPY = "100000"
USDC = "1000.000000"

[[corridor]]
sell = "JPY"
buy = "USDC"
payout = "onchain"
service_fee_bps = 100
service_fee_min = "50"
network_fee = "7"
spread_bps = 25
sell_min = "200"
sell_max = "90000"
estimated_delivery_s = 33
"""


def yen(amount: str) -> dict[str, str]:
    return {"currency": "JPY", "amount": amount}


async def test_what_the_corridors_file_says_is_offered_shown_and_charged(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "corridors.toml"
    file.write_text(OFFER)
    settings = settings_in(
        tmp_path,
        database_url,
        bytes(Account.create().key),
        token_address="0x" + "70" * 20,
        corridors_file=file,
        fx_sources="fixed:JPY/USDC=0.0064",
    )
    async with open_node(settings) as node:
        await node.rates.refresh()
        node.bound.set()
        key = (await node.parties.create_key(Principal(Role.OPERATOR, "ops"))).secret
        transport = httpx.ASGITransport(create_app(node.services, sandbox=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            shown = (await client.get("/v1/corridors")).json()["data"]
            price = await client.get("/v1/prices?sell=JPY&buy=USDC&sell_amount=1000")
            elsewhere = await client.get("/v1/prices?sell=EUR&buy=USDC&sell_amount=10.00")
            too_little = await client.get("/v1/prices?sell=JPY&buy=USDC&sell_amount=199")
            fx = await client.get("/v1/fx", headers={"Authorization": f"Bearer {key}"})
    assert shown == [
        {
            "sell": "JPY",
            "buy": "USDC",
            "payout": {"method": "onchain", "estimated_delivery_s": 33},
            "service_fee_bps": 100,
            "service_fee_min": yen("50"),
            "network_fee": yen("7"),
            "spread_bps": 25,
            "sell_min": yen("200"),
            "sell_max": yen("90000"),
        }
    ]
    assert price.json()["fees"] == [
        {"type": "service", **yen("50")},
        {"type": "network", **yen("7")},
    ]
    # floor((1000 - 57) x 0.0064 x 0.9975)
    assert price.json()["buy"] == {"currency": "USDC", "amount": "6.020112"}
    assert elsewhere.json()["code"] == "pair_not_offered"
    assert too_little.json()["min"] == yen("200")
    assert {each["limit"]["amount"] for each in fx.json()["exposure"]} == {"100000", "1000.000000"}
