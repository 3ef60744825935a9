"""The committed contracts on a real chain: the code that runs is the code that was committed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from adapters.evm.artifacts import Artifact, load, parse
from adapters.evm.deposits import factory_code_hash
from node.core.units import Address
from tests.onchain import settlement_arguments
from tests.rig import DEV_ACCOUNTS, AnvilServer, start_anvil

ADMIN = DEV_ACCOUNTS[0][0]
LANE = DEV_ACCOUNTS[1][0]
FLOAT_MINOR = 1_000_000_000


@pytest.fixture
def chain() -> Iterator[AnvilServer]:
    server = start_anvil(automine=False)
    yield server
    server.stop()


def send(chain: AnvilServer, sender: str, to: str | None, data: bytes) -> dict[str, str]:
    transaction = {"from": sender, "data": "0x" + data.hex()} | ({"to": to} if to else {})
    receipt = chain.mined(chain.rpc("eth_sendTransaction", transaction))
    assert receipt["status"] == "0x1"
    return receipt


def deploy(chain: AnvilServer, artifact: Artifact, arguments: bytes = b"") -> str:
    return send(chain, ADMIN, None, artifact.bytecode + arguments)["contractAddress"]


def deploy_settlement(chain: AnvilServer, token: str) -> str:
    return deploy(chain, load("TransferSettlement"), settlement_arguments(token))


def code_of(chain: AnvilServer, address: str) -> bytes:
    return bytes.fromhex(chain.rpc("eth_getCode", address, "latest")[2:])


def call(signature: str, *arguments: object) -> bytes:
    types = signature.partition("(")[2].rstrip(")").split(",")
    return keccak(text=signature)[:4] + encode(types, arguments)


def record(number: int, beneficiary: str, amount_minor: int) -> bytes:
    return number.to_bytes(8) + bytes.fromhex(beneficiary[2:]) + amount_minor.to_bytes(8)


def test_the_token_on_the_chain_has_the_committed_code(chain: AnvilServer) -> None:
    artifact = load("TestUSD")
    address = deploy(chain, artifact, encode(["address"] * 3, [ADMIN] * 3))
    assert code_of(chain, address) == artifact.deployed_code({})
    assert keccak(code_of(chain, address)) == artifact.deployed_code_hash({})


def test_the_settlement_contract_on_the_chain_has_the_committed_code_and_names_its_token(
    chain: AnvilServer,
) -> None:
    token = deploy(chain, load("TestUSD"), encode(["address"] * 3, [ADMIN] * 3))
    code = code_of(chain, deploy_settlement(chain, token))
    artifact = load("TransferSettlement")
    assert code == artifact.deployed_code({"TOKEN": int(token, 16)})
    assert code != artifact.deployed_code({"TOKEN": int(ADMIN, 16)})


def test_the_deposits_contract_on_the_chain_has_the_committed_code_and_names_its_destination(
    chain: AnvilServer,
) -> None:
    token = deploy(chain, load("TestUSD"), encode(["address"] * 3, [ADMIN] * 3))
    settlement = deploy_settlement(chain, token)
    code = code_of(
        chain, deploy(chain, load("DepositForwarders"), encode(["address"], [settlement]))
    )
    assert keccak(code) == factory_code_hash(Address(bytes.fromhex(settlement[2:])))
    assert keccak(code) != factory_code_hash(Address(bytes.fromhex(token[2:])))


def test_the_code_cannot_be_known_without_its_immutables() -> None:
    with pytest.raises(ValueError, match="TOKEN"):
        load("TransferSettlement").deployed_code({})


@pytest.mark.parametrize(
    ("contract", "outcomes"),
    [
        ("PlainToken", "0000"),
        ("NoReturnToken", "0000"),
        ("FalseReturnToken", "0001"),
        ("GasBombToken", "0001"),
    ],
)
def test_the_tokens_for_tests_behave_as_their_names_say(
    chain: AnvilServer, contract: str, outcomes: str
) -> None:
    artifact = parse((Path(__file__).parent / "artifacts" / f"{contract}.json").read_text())
    token = deploy(chain, artifact)
    settlement = deploy_settlement(chain, token)
    send(chain, ADMIN, token, call("mint(address,uint256)", settlement, FLOAT_MINOR))
    if contract == "FalseReturnToken":
        send(chain, ADMIN, token, call("refuse(address)", ADMIN))
    if contract == "GasBombToken":
        send(chain, ADMIN, token, call("setBomb(address,bool)", ADMIN, True))

    records = record(1, LANE, 10) + record(2, ADMIN, 20)
    asked = {
        "from": LANE,
        "to": settlement,
        "data": "0x" + call("settle(bytes)", records).hex(),
    }
    answer = bytes.fromhex(chain.rpc("eth_call", asked, "latest")[2:])
    assert answer == encode(["bytes"], [bytes.fromhex(outcomes)])
