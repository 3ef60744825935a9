"""Settings: the only reader of the environment, prefix `CORRIDOR_`; checked against each other.

A wrong setting stops the program with its name, the value's fault and the remedy. Secrets are
read from files named here, never from the environment, and are never printed.
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from node.core.deposits import UNPAID_MAX, DepositPolicy
from node.core.errors import NodeError
from node.core.forwarding import read_proxies
from node.core.mirror import Finality
from node.core.throttling import Allowance, RequestClass, read_allowances

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
TEST_CHAINS: Final = frozenset(
    {1337, 31337, 11155111, 560048, 17000, 84532, 421614, 11155420, 80002, 43113, 97}
)
"""Chains whose coin is worth nothing: local ones (1337, 31337), and the test networks Sepolia,
Hoodi, Holesky, Base, Arbitrum and OP Sepolia, Amoy, Fuji and BSC, by chainlist.org."""

_FINALITY: Final = re.compile(r"tag|(?:tag,)?depth:[1-9][0-9]{0,3}")


class SettingsInvalid(NodeError):
    """The environment does not describe a node."""

    code = "settings_invalid"
    title = "Settings are not valid"


class Settings(BaseSettings):
    """One node. Durations end in `_s` or `_ms`."""

    model_config = SettingsConfigDict(env_prefix="CORRIDOR_", frozen=True, env_ignore_empty=True)

    state_dir: Path = Field(
        default=Path(".corridor"), description="where the devnet keeps everything"
    )
    database_url: str = Field(
        default="",
        description="`postgresql://user:password@host:port/name`, by a login that is a member of"
        " `corridor_node` and no more",
    )
    database_owner_url: str = Field(
        default="",
        description="the same database by the owner of its schema, for `corridor migrate` alone",
    )
    http_host: str = Field(default="127.0.0.1", description="address that `serve` listens at")
    http_port: int = Field(default=8000, ge=0, le=65535, description="its port; 0: any free one")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="addresses and CIDR networks of proxies before `serve`, separated by commas,"
        " whose X-Forwarded-For says who asks; without any the header is not read",
    )
    chain_id: int = Field(default=31337, ge=1, description="the chain that payouts are made on")
    chain_rpc_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="JSON-RPC providers of it, separated by commas, the best first"
    )
    chain_finality: str = Field(
        default="tag",
        description="when a block is final: `tag`, where the chain says so; `depth:N` blocks; or"
        " `tag,depth:N`, the depth while the tag is missing or has stood still for 30 minutes",
    )
    chain_witnesses: int = Field(
        default=2,
        ge=1,
        description="how many providers must have a block before it is final, where others answer"
        " and do not have it yet; 1: any of them alone makes it final",
    )
    chain_ws_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="WebSockets of providers, separated by commas: a new head there wakes the"
        " mirror sooner; nothing is read from them",
    )
    chain_bloom: Literal["exact", "hint"] = Field(
        default="exact",
        description="`exact` where the bloom filter of a block has all its logs; `hint` on chains"
        " that leave some out: it is not compared then",
    )
    chain_block_s: float = Field(  # tidy: T1 because seconds, not money
        default=12, gt=0, description="usual time between two blocks"
    )
    token_address: str = Field(default="", description="the USDC contract")
    settlement_address: str = Field(default="", description="the contract that pays out")
    treasury_address: str = Field(
        default="", description="the node's address that holds tokens besides the float, if any"
    )
    deposits_address: str = Field(
        default="",
        description="the contract that makes deposit addresses; without one the node offers none",
    )
    deposit_tolerance_minor: int = Field(
        default=0,
        ge=0,
        le=10**9,
        description="minor units of the token by which a deposit may be too little for its payment"
        " request, at most 1 % of it, and still pay it; the node bears them",
    )
    deposit_late_grace_s: int = Field(
        default=86_400,
        ge=0,
        le=30 * 86_400,
        description="how long after the end of a payment request a deposit still pays it",
    )
    payment_requests_unpaid_max: int = Field(
        default=UNPAID_MAX,
        ge=1,
        description="payment requests of one owner that nobody has paid, until a day after they"
        " end",
    )
    sweep_above_minor: int = Field(
        default=1_000_000,
        ge=1,
        description="minor units of the token from which a deposit address is swept",
    )
    peers_file: Path | None = Field(
        default=None,
        description="TOML of the partners that pay out for this node, as"
        " `adapters/partners/peers.py` tells",
    )
    signer: str = Field(
        default="",
        description="keys of the lanes: `keystore:PATH` of a file (keystore v3) or a directory of"
        " them, or `remote:URL;address=0x...`, as `adapters/evm/signers.py` tells",
    )
    treasury_signer: str = Field(
        default="", description="the same of the treasury's key; without one it sends nothing"
    )
    pauser_signer: str = Field(
        default="",
        description="the same of the contract's pauser; without one a hard pause stops the node"
        " and not the contract",
    )
    rescuer_signer: str = Field(
        default="", description="the same of the contract's rescuer; without one nothing is rescued"
    )
    fx_sources: str = Field(
        default="ecb:max_age_s=345600,fixed:USD/USDC=1",
        description="rate sources in order of preference, as `adapters/fx/__init__.py` tells",
    )
    corridors_file: Path | None = Field(
        default=None,
        description="TOML of corridors, their fees, spreads and limits; unset:"
        " `adapters/corridors.toml`",
    )
    quote_ttl_s: int = Field(
        default=60, ge=1, le=1800, description="how long a firm quote is kept, unless asked for"
    )
    quotes_active_max: int = Field(
        default=10_000, ge=1, description="active firm quotes of one principal"
    )
    reporting_currency: str = Field(
        default="EUR", description="code of the currency that positions are valued in"
    )
    settle_within_s: int = Field(
        default=86_400, ge=60, description="from acceptance to when a transfer is given up"
    )
    batch_payments_max: int = Field(
        default=256, ge=1, le=256, description="payouts of one transaction on the chain"
    )
    batch_wait_ms: int = Field(
        default=500,
        ge=0,
        le=60_000,
        description="how long a payout waits for company while an earlier batch is under way",
    )
    lanes: int = Field(
        default=0, ge=0, le=64, description="how many of the signer's keys settle; 0: all"
    )
    lane_lease_s: int = Field(
        default=30, ge=1, le=600, description="how long a worker that stands still keeps its lane"
    )
    fee_max_wei: int = Field(
        default=500 * 10**9, ge=1, description="most wei per gas, whatever the market asks"
    )
    tip_max_wei: int = Field(
        default=50 * 10**9, ge=0, description="most wei per gas of a first attempt's tip"
    )
    bump_after_blocks: int = Field(
        default=3, ge=1, le=1000, description="blocks without inclusion before a higher fee"
    )
    resend_after_s: int = Field(
        default=12, ge=1, le=3600, description="how long before the same bytes are sent again"
    )
    float_low_minor: int = Field(
        default=10_000 * 10**6,
        ge=0,
        description="minor units of the token below which the contract's float raises an alert",
    )
    lane_gas_low_wei: int = Field(
        default=5 * 10**16, ge=0, description="wei below which a key's coin raises an alert"
    )
    two_persons_above: int = Field(
        default=1000,
        ge=0,
        description="whole units of any currency that one operator may move to resolve a break or"
        " to write off; above, another must approve; 0: always",
    )
    rate_limits: str = Field(
        default="read=6000/minute,quote=3000/minute,write=3000/minute",
        description="requests of one key, or without one of one address, to one process, by class;"
        " `off`: no limits",
    )
    secrets_key_file: Path | None = Field(
        default=None,
        description="file with the key that secrets of webhook endpoints are encrypted with, 32"
        " bytes in hexadecimal or base64; without one the node sends no webhooks",
    )
    webhooks_private: bool = Field(
        default=False,
        description="send webhooks to http URLs and to addresses that are not public as well",
    )
    webhooks_kept_s: int = Field(
        default=30 * 86_400,
        ge=86_400,
        description="how long a webhook that arrived is kept, with the log of its attempts; the"
        " event stays",
    )
    webhooks_undelivered_kept_s: int = Field(
        default=90 * 86_400,
        ge=86_400,
        description="the same of one that was given up, or canceled",
    )
    rails: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="names of rails on which money may arrive, separated by commas",
    )
    sandbox: bool = Field(
        default=False,
        description="play money, on a test chain only: the rail `sandbox_bank`, rates of any age"
        " (`max_age_s=0`), and a clock that `corridor trigger clock` moves",
    )
    failpoint: str = Field(
        default="", description="for crash tests: die at this point; needs the sandbox"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="from which level on is logged"
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="for people, or one JSON object on a line"
    )

    @field_validator("chain_rpc_urls", "chain_ws_urls", "trusted_proxies", mode="before")
    @classmethod
    def _split_lists(cls, value: Any) -> Any:
        return _split(value)

    @field_validator("rails", mode="before")
    @classmethod
    def _split_rails(cls, value: Any) -> Any:
        return frozenset(_split(value)) if isinstance(value, str) else value

    @field_validator("chain_rpc_urls")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not url.startswith(("http://", "https://")) for url in value):
            raise ValueError("each must be an http:// or https:// URL; separate them by commas")
        return value

    @field_validator("chain_ws_urls")
    @classmethod
    def _are_websockets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not url.startswith(("ws://", "wss://")) for url in value):
            raise ValueError("each must be a ws:// or wss:// URL; separate them by commas")
        return value

    @field_validator("token_address", "settlement_address", "treasury_address", "deposits_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not _ADDRESS.fullmatch(value):
            raise ValueError("must be an address: 0x and 40 hexadecimal digits")
        return value

    @field_validator("chain_finality")
    @classmethod
    def _is_finality(cls, value: str) -> str:
        if not _FINALITY.fullmatch(value):
            raise ValueError("must be 'tag' or 'depth:N', such as depth:2, or 'tag,depth:N'")
        return value

    @field_validator("rate_limits")
    @classmethod
    def _are_allowances(cls, value: str) -> str:
        read_allowances(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_proxies(value)
        return value

    @field_validator("signer", "treasury_signer", "pauser_signer", "rescuer_signer")
    @classmethod
    def _is_signer(cls, value: str) -> str:
        if value and not value.startswith(("keystore:", "remote:")):
            raise ValueError(
                "must be keystore:PATH, the path of a keystore v3 file, or"
                " remote:URL;address=0x..., of a signer over HTTP"
            )
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.failpoint and not self.sandbox:
            raise ValueError("CORRIDOR_FAILPOINT is for tests: it needs CORRIDOR_SANDBOX=1")
        if self.sandbox and self.chain_id not in TEST_CHAINS:
            raise ValueError(
                f"CORRIDOR_SANDBOX=1 is for play money, and chain {self.chain_id} is not a test"
                " chain: leave it out, or set CORRIDOR_CHAIN_ID to that of a test chain"
            )
        return self

    @property
    def finality(self) -> Finality:
        """When a block is final."""
        _, _, depth = self.chain_finality.partition(":")
        return Finality(int(depth) if depth else None, self.chain_finality.startswith("tag,"))

    @property
    def allowances(self) -> Mapping[RequestClass, Allowance]:
        """How many requests callers may send; a class that is left out has no limit."""
        return read_allowances(self.rate_limits)

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Whose X-Forwarded-For is believed."""
        return read_proxies(self.trusted_proxies)

    @property
    def deposit_policy(self) -> DepositPolicy:
        """What is done with deposits that are too little or too late."""
        grace = timedelta(seconds=self.deposit_late_grace_s)
        return DepositPolicy(self.deposit_tolerance_minor, grace)

    @property
    def given(self) -> list[str]:
        """The variables that are set, without the state directory and what its devnet says."""
        embedded = _embedded_urls(self.state_dir)
        return [
            _variable(name)
            for name in type(self).model_fields
            if name in self.model_fields_set - {"state_dir"}
            and getattr(self, name) != embedded.get(name)
        ]

    def missing(self, *names: str) -> list[str]:
        """Those variables of some settings that have no value."""
        return [_variable(name) for name in names if not getattr(self, name)]

    def require(self, *names: str) -> None:
        """Check that settings without a default are given.

        Raises:
            SettingsInvalid: One is not; names it.
        """
        if missing := self.missing(*names):
            raise SettingsInvalid(
                f"set {', '.join(missing)} (`corridor devnet up` sets everything for a local node)"
            )


def load_settings(**overrides: Any) -> Settings:
    """Settings of this process.

    Without `CORRIDOR_DATABASE_URL` the embedded server of the state directory is meant.

    Raises:
        SettingsInvalid: Something is wrong; says what, and how to mend it.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(_fault(each) for each in error.errors())
        raise SettingsInvalid(faults) from None
    if not settings.database_url:
        settings = settings.model_copy(update=_embedded_urls(settings.state_dir))
    return settings


def _fault(error: Any) -> str:
    name = "_".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{_variable(name)}: {message}" if name else message


def _variable(name: str) -> str:
    """`CORRIDOR_HTTP_PORT` of `http_port`."""
    return f"CORRIDOR_{name.upper()}"


def _embedded_urls(state_dir: Path) -> dict[str, str]:
    try:
        described = json.loads((state_dir / "devnet.json").read_text())
        node = described["nodes"][0]
        return {name: str(node[name]) for name in ("database_url", "database_owner_url")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
