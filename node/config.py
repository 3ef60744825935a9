"""Settings: the only reader of the environment, prefix `CORRIDOR_`; checked against each other.

A wrong setting stops the program with its name, the value's fault and the remedy. Secrets are
read from files named here, never from the environment, and are never printed.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from node.core.errors import NodeError

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_FINALITY: Final = re.compile(r"tag|depth:[1-9][0-9]{0,3}")


class SettingsInvalid(NodeError):
    """The environment does not describe a node."""

    code = "settings_invalid"
    title = "Settings are not valid"


class Settings(BaseSettings):
    """One node. Durations end in `_s` or `_ms`."""

    model_config = SettingsConfigDict(env_prefix="CORRIDOR_", frozen=True, env_ignore_empty=True)

    state_dir: Path = Path(".corridor")
    database_url: str = Field(default="", description="postgresql://user:password@host:port/name")
    database_owner_url: str = Field(
        default="", description="the same database for `corridor migrate`, by the schema's owner"
    )
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=0, le=65535)
    chain_id: int = Field(default=31337, ge=1)
    chain_rpc_urls: Annotated[tuple[str, ...], NoDecode] = ()
    chain_finality: str = "tag"
    chain_block_s: float = Field(default=12, gt=0)  # tidy: T1 because seconds, not money
    token_address: str = ""
    settlement_address: str = ""
    treasury_address: str = ""
    signer: str = Field(
        default="", description="keystore:PATH of the lane's key, its password in NAME.password"
    )
    treasury_signer: str = Field(default="", description="the same for the treasury's key")
    fx_sources: str = "ecb:max_age_s=345600,fixed:USD/USDC=1"
    corridors_file: Path | None = Field(
        default=None, description="TOML of fees, spreads and limits; default: that of the package"
    )
    quote_ttl_s: int = Field(default=60, ge=1, le=1800)
    quotes_active_max: int = Field(default=10_000, ge=1)
    reporting_currency: str = Field(
        default="EUR", description="code of the currency that positions are valued in"
    )
    settle_within_s: int = Field(default=86_400, ge=60)
    batch_payments_max: int = Field(default=256, ge=1, le=256)
    batch_wait_ms: int = Field(default=500, ge=0, le=60_000)
    lanes: int = Field(default=1, ge=1, le=1, description="more than one: a later version")
    rails: Annotated[frozenset[str], NoDecode] = frozenset()
    sandbox: bool = False
    failpoint: str = Field(default="", description="for crash tests: die at this point")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    @field_validator("chain_rpc_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: Any) -> Any:
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

    @field_validator("token_address", "settlement_address", "treasury_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not _ADDRESS.fullmatch(value):
            raise ValueError("must be an address: 0x and 40 hexadecimal digits")
        return value

    @field_validator("chain_finality")
    @classmethod
    def _is_finality(cls, value: str) -> str:
        if not _FINALITY.fullmatch(value):
            raise ValueError("must be 'tag' or 'depth:N', such as depth:2")
        return value

    @field_validator("signer", "treasury_signer")
    @classmethod
    def _is_signer(cls, value: str) -> str:
        if value and not value.startswith("keystore:"):
            raise ValueError("must be keystore:PATH, the path of a keystore v3 file")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.failpoint and not self.sandbox:
            raise ValueError("CORRIDOR_FAILPOINT is for tests: it needs CORRIDOR_SANDBOX=1")
        return self

    @property
    def signer_path(self) -> Path:
        """The keystore of the lane's key."""
        return Path(self.signer.removeprefix("keystore:"))

    @property
    def treasury_signer_path(self) -> Path:
        """The keystore of the treasury's key."""
        return Path(self.treasury_signer.removeprefix("keystore:"))

    @property
    def finality_depth_blocks(self) -> int | None:
        """N of `depth:N`; None: the chain's `finalized` tag."""
        _, _, depth = self.chain_finality.partition(":")
        return int(depth) if depth else None

    def require(self, *names: str) -> None:
        """Check that settings without a default are given.

        Raises:
            SettingsInvalid: One is not; names it.
        """
        missing = [f"CORRIDOR_{name.upper()}" for name in names if not getattr(self, name)]
        if missing:
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
    return f"CORRIDOR_{name.upper()}: {message}" if name else message


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
