"""The committed artifacts belong to the sources in contracts/; checked without a compiler.

That the compiler makes these bytes of them is `scripts/compile_contracts.py --check`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.artifacts import load, parse
from scripts.compile_contracts import (
    CONTRACTS,
    NODE_MODULES,
    ROOT,
    TARGETS,
    Target,
    compiler_settings,
    fingerprint,
    path_of,
    render,
    sha256_of,
    sources_of,
)

REMEDY = "run: python scripts/compile_contracts.py"

of_each_artifact = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.contract)


def committed(target: Target) -> dict[str, Any]:
    return dict(json.loads(target.artifact.read_text("utf-8")))


@of_each_artifact
def test_an_artifact_was_compiled_from_the_sources_as_they_are(target: Target) -> None:
    for source, sha256 in committed(target)["sources"].items():
        if source.startswith("@") and not NODE_MODULES.exists():
            continue  # OpenZeppelin's sources come with `npm ci`
        assert sha256_of(path_of(source).read_text("utf-8")) == sha256, f"{source}: {REMEDY}"


@of_each_artifact
def test_an_artifact_names_every_source_it_was_compiled_from(target: Target) -> None:
    named = committed(target)["sources"]
    assert target.source in named
    if NODE_MODULES.exists():
        assert sorted(named) == list(sources_of(target.source)), REMEDY


@of_each_artifact
def test_an_artifact_was_compiled_with_the_settings_of_foundry_toml(target: Target) -> None:
    assert committed(target)["settings"] == compiler_settings(), REMEDY


@of_each_artifact
def test_an_artifact_was_compiled_with_the_pinned_compiler(target: Target) -> None:
    pinned = json.loads((CONTRACTS / "package.json").read_text())["dependencies"]["solc"]
    assert re.fullmatch(
        rf"{re.escape(pinned)}\+commit\.[0-9a-f]{{8}}", committed(target)["compiler"]
    )


@of_each_artifact
def test_an_artifact_was_not_changed_after_it_was_written(target: Target) -> None:
    document = committed(target)
    assert document["sha256"] == fingerprint(document), REMEDY
    assert target.artifact.read_text("utf-8") == render(document), REMEDY


@of_each_artifact
def test_an_artifact_holds_code_that_fits_on_a_chain(target: Target) -> None:
    artifact = parse(target.artifact.read_text("utf-8"))
    assert artifact.contract == target.contract
    assert 0 < len(artifact.runtime_bytecode) <= 24_576, "EIP-170"
    assert len(artifact.runtime_bytecode) < len(artifact.bytecode) <= 49_152, "EIP-3860"
    for offsets in artifact.immutables.values():
        for offset in offsets:
            assert artifact.runtime_bytecode[offset : offset + 32] == bytes(32)


def test_no_artifact_is_without_a_target() -> None:
    folders = {target.artifact.parent for target in TARGETS}
    assert {file for folder in folders for file in folder.glob("*.json")} == {
        target.artifact for target in TARGETS
    }


def test_every_contract_in_src_has_an_artifact_that_can_be_loaded() -> None:
    names = sorted(path.stem for path in (CONTRACTS / "src").glob("*.sol"))
    assert [load(name).contract for name in names] == names


def locked_packages() -> dict[str, dict[str, Any]]:
    lock = json.loads((CONTRACTS / "package-lock.json").read_text("utf-8"))
    return {name: entry for name, entry in lock["packages"].items() if name}


def test_the_lock_file_names_no_host() -> None:
    assert not [name for name, entry in locked_packages().items() if "resolved" in entry]


def test_the_lock_file_pins_what_runs_on_linux_by_hash() -> None:
    unpinned = [entry for entry in locked_packages().values() if "integrity" not in entry]
    assert not [entry for entry in unpinned if (entry["os"], entry["cpu"]) == (["linux"], ["x64"])]
    assert all(entry["optional"] for entry in unpinned)


@pytest.mark.parametrize("tool", ["anvil", "forge"])
@pytest.mark.parametrize("platform", ["darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64"])
def test_the_lock_file_has_the_binary_of_each_platform(tool: str, platform: str) -> None:
    packages = locked_packages()
    binary = packages[f"node_modules/@foundry-rs/{tool}-{platform}"]
    assert binary["version"] == packages[f"node_modules/@foundry-rs/{tool}"]["version"]


def test_the_compiler_shim_can_be_executed() -> None:
    assert Path(CONTRACTS / "solc").stat().st_mode & 0o111
    assert (ROOT / "contracts" / "solc").read_text().startswith("#!/usr/bin/env node\n")
