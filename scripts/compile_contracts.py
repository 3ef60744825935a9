"""Compile the contracts into the artifacts that are committed.

    python scripts/compile_contracts.py            compile and write
    python scripts/compile_contracts.py --check    compile and compare; exit status 1 if they differ

Needs `npm ci --ignore-scripts` in contracts/ and `node` on PATH. Settings are those of
contracts/foundry.toml, so forge tests the same code. The output depends on sources, settings and
compiler only. Not here: loading (`adapters.evm.artifacts`) and the check that needs no compiler
(tests/house/test_artifacts.py).
"""

import argparse
import hashlib
import json
import posixpath
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
NODE_MODULES = CONTRACTS / "node_modules"

_IMPORT = re.compile(r'^import\s[^;"]*"([^"]+)";', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Target:
    """One contract to compile.

    Attributes:
        source: Name of its file as the compiler knows it: relative to contracts/.
        directory: Where its artifact goes, relative to the checkout.
    """

    source: str
    directory: str

    @property
    def contract(self) -> str:
        """Name of the contract, which is that of its file."""
        return Path(self.source).stem

    @property
    def artifact(self) -> Path:
        """The artifact's file."""
        return ROOT / self.directory / f"{self.contract}.json"


_SHIPPED = "adapters/evm/artifacts"
_FOR_TESTS = "tests/chain/artifacts"

TARGETS = (
    Target("src/DepositForwarders.sol", _SHIPPED),
    Target("src/TestPriceFeed.sol", _SHIPPED),
    Target("src/TestUSD.sol", _SHIPPED),
    Target("src/TransferSettlement.sol", _SHIPPED),
    Target("test/tokens/BombUSD.sol", _FOR_TESTS),
    Target("test/tokens/FalseReturnToken.sol", _FOR_TESTS),
    Target("test/tokens/FeeToken.sol", _FOR_TESTS),
    Target("test/tokens/GasBombToken.sol", _FOR_TESTS),
    Target("test/tokens/LookalikeToken.sol", _FOR_TESTS),
    Target("test/tokens/NoReturnToken.sol", _FOR_TESTS),
    Target("test/tokens/PlainToken.sol", _FOR_TESTS),
    Target("test/tokens/QuietFeeToken.sol", _FOR_TESTS),
)


def compiler_settings() -> dict[str, Any]:
    """The settings of contracts/foundry.toml in the words of the compiler's standard JSON."""
    with (CONTRACTS / "foundry.toml").open("rb") as file:
        profile = tomllib.load(file)["profile"]["default"]
    return {
        "evmVersion": profile["evm_version"],
        "metadata": {
            "appendCBOR": profile["cbor_metadata"],
            "bytecodeHash": profile["bytecode_hash"],
        },
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "viaIR": profile["via_ir"],
    }


def path_of(source: str) -> Path:
    """Where a source lies: packages in node_modules, all else in contracts/."""
    return (NODE_MODULES if source.startswith("@") else CONTRACTS) / source


def sources_of(source: str) -> dict[str, str]:
    """The text of a source and of all it imports, by the name the compiler knows it by."""
    texts: dict[str, str] = {}
    waiting = [source]
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        texts[name] = path_of(name).read_text("utf-8")
        waiting.extend(_imports(name, texts[name]))
    return dict(sorted(texts.items()))


def sha256_of(text: str) -> str:
    """Hash of a source's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(document: Mapping[str, Any]) -> str:
    """Hash of all fields of an artifact but `sha256` itself, in hex."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    return sha256_of(json.dumps(rest, sort_keys=True, separators=(",", ":")))


def render(document: Mapping[str, Any]) -> str:
    """An artifact as it is written: the same bytes for the same document."""
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


def compiled(target: Target) -> dict[str, Any]:
    """Compile one contract, alone with its imports, so that no other contract changes its code.

    Raises:
        solcx.exceptions.SolcError: The compiler found an error.
    """
    import solcx  # noqa: PLC0415 - the other functions serve where there is no compiler

    texts = sources_of(target.source)
    settings = compiler_settings()
    wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode"]
    selection = {"*": {"": ["ast"]}, target.source: {target.contract: wanted}}
    answer = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in texts.items()},
            "settings": {**settings, "outputSelection": selection},
        },
        solc_binary=CONTRACTS / "solc",
    )
    output = answer["contracts"][target.source][target.contract]
    runtime = output["evm"]["deployedBytecode"]
    document: dict[str, Any] = {
        "abi": output["abi"],
        "bytecode": output["evm"]["bytecode"]["object"],
        "compiler": str(solcx.wrapper.get_solc_version(CONTRACTS / "solc", with_commit_hash=True)),
        "contract": target.contract,
        "immutables": _immutables(answer["sources"], runtime["immutableReferences"]),
        "runtime_bytecode": runtime["object"],
        "settings": settings,
        "source": target.source,
        "sources": {name: sha256_of(text) for name, text in texts.items()},
    }
    return {**document, "sha256": fingerprint(document)}


def main(arguments: list[str] | None = None) -> int:
    """Compile every target; exit status 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(description="compile the contracts into their artifacts")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    stale = False
    for target in TARGETS:
        text = render(compiled(target))
        path = target.artifact
        same = path.exists() and path.read_text("utf-8") == text
        stale = stale or not same
        if not same and not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        done = "unchanged" if same else "differs" if check else "written"
        print(f"{path.relative_to(ROOT)}: {done}")
    return 1 if check and stale else 0


def _imports(name: str, text: str) -> Iterator[str]:
    for imported in _IMPORT.findall(text):
        if imported.startswith("."):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(name), imported))
        else:
            yield imported


def _immutables(
    sources: Mapping[str, Any], references: Mapping[str, list[dict[str, int]]]
) -> dict[str, list[int]]:
    """Offsets of the immutables by name; the compiler gives them by the id of the declaration."""
    names = {
        str(node["id"]): str(node["name"])
        for source in sources.values()
        for unit in source["ast"]["nodes"]
        for node in unit.get("nodes", ())
        if node["nodeType"] == "VariableDeclaration"
    }
    return {
        names[identity]: sorted(place["start"] for place in places)
        for identity, places in references.items()
    }


if __name__ == "__main__":
    sys.exit(main())
