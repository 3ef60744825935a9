"""The export file: the offline script proves what is right, finds every damage and lie."""

import hashlib
import io
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.proof.export import END_BYTES, anchor_of
from node.core.proof.records import Anchor
from scripts import verify_export
from tests.core.test_proof import ILLEGAL, Tampering, a_ledger
from tests.records import MadeLedger, exported

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify_export.py"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export") / "ledger.bin"


def proven(file: Path, content: bytes, *arguments: str) -> int:
    """Exit status of the script."""
    file.write_bytes(content)
    return verify_export.main([str(file), *arguments])


def fault(content: bytes) -> str:
    """What the script finds, without a file; empty when the content is proven."""
    try:
        verify_export.prove(io.BytesIO(content), {})
    except verify_export.Difference as difference:
        return str(difference)
    return ""


def test_the_script_runs_alone_and_proves_an_export(tmp_path: Path) -> None:
    made = a_ledger()
    (tmp_path / "ledger.bin").write_bytes(exported(made))
    ended = subprocess.run(
        [sys.executable, "-I", SCRIPT, "ledger.bin", "--anchor", str(made.anchor(2)), "--accounts"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "customer/ann/EUR  posted 40  available 15" in ended.stdout
    assert "minor units" in ended.stdout
    assert re.search(r"EUR +customer +1 account +posted 40", ended.stdout)
    assert "EUR      debits 160 = credits 160; pending 25 = 25" in ended.stdout
    assert f"anchor {made.anchor(3)}\nProven" in ended.stdout


def test_the_script_says_what_each_argument_is(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        verify_export.main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for argument in ("FILE ", "--anchor NUMBER:HASH", "--accounts "):
        assert re.search(rf"^  {argument} *(\n +)?\w", told, re.MULTILINE), told


def test_the_script_imports_the_standard_library_and_nothing_else() -> None:
    imported = re.findall(r"^(?:import|from) (\w+)", SCRIPT.read_text(), re.MULTILINE)
    assert set(imported) <= sys.stdlib_module_names


def test_an_empty_ledger_is_exported_and_proven(file: Path) -> None:
    assert proven(file, exported(MadeLedger()), "--anchor", "0:" + "00" * 32) == 0
    assert proven(file, exported(MadeLedger()), "--anchor", "1:" + "00" * 32) == 1


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_changed_byte_anywhere_is_found_and_its_place_told(change: int) -> None:
    content = exported(a_ledger())
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= change
        found = fault(bytes(damaged))
        assert re.match(r"byte \d+, (the|after batch|batch) ", found), (at, found)


def test_a_damaged_file_is_named_and_ends_with_status_1(file: Path, capsys: Capture) -> None:
    content = exported(a_ledger())
    assert proven(file, content[:300] + b"x" + content[301:]) == 1
    assert re.match(r"NOT PROVEN\. \S+ledger.bin, byte \d+, batch 1: ", capsys.readouterr().out)


def test_a_file_that_ends_too_early_or_too_late_is_found() -> None:
    content = exported(a_ledger())
    for length in range(len(content)):
        assert "file ends here" in fault(content[:length]), length
    assert "something follows" in fault(content + b"\0")


@given(content=st.binary(max_size=400))
def test_garbage_is_refused_in_words(content: bytes) -> None:
    assert fault(content)
    assert fault(exported(MadeLedger())[:20] + content)


@given(data=st.data())
def test_a_part_that_was_cut_out_or_put_in_is_found(data: st.DataObject) -> None:
    content = exported(a_ledger())
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start, len(content)))
    changed = content[:start] + data.draw(st.binary(max_size=50)) + content[end:]
    assert bool(fault(changed)) == (changed != content)


def sealed(content: bytes) -> bytes:
    """The content with the checksum that fits it."""
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


@given(data=st.data())
def test_the_checksum_is_not_what_the_proof_rests_on(data: st.DataObject) -> None:
    content = bytearray(exported(a_ledger()))
    at = data.draw(st.integers(0, len(content) - 33))
    content[at] ^= data.draw(st.integers(1, 255))
    assert fault(sealed(bytes(content)))


@pytest.mark.parametrize(("tampering", "check", "subject"), ILLEGAL)
def test_a_consistent_file_over_illegal_records_is_refused(
    tampering: Tampering, check: str, subject: str
) -> None:
    made = a_ledger()
    tampering(made)
    assert fault(exported(made)), (check, subject)


def test_balances_that_do_not_follow_are_refused() -> None:
    content = exported(a_ledger())
    at = len(content) - END_BYTES - 8
    (counter,) = struct.unpack_from(">q", content, at)
    changed = content[:at] + struct.pack(">q", counter + 1) + content[at + 8 :]
    assert "by its entries" in fault(sealed(changed))


def test_anchors_find_what_was_cut_off_or_written_anew(file: Path, capsys: Capture) -> None:
    made, noted = a_ledger(), str(a_ledger().anchor(3))
    made.batches.pop()
    assert proven(file, exported(made)) == 0
    assert proven(file, exported(made), "--anchor", noted) == 1
    assert "cut off" in capsys.readouterr().out
    other = noted[:-1] + ("0" if noted[-1] != "0" else "1")
    assert proven(file, exported(a_ledger()), "--anchor", other) == 1
    assert "written anew" in capsys.readouterr().out


def test_wrong_usage_is_status_2(file: Path, capsys: Capture) -> None:
    assert verify_export.main([str(file.parent / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        verify_export.main([str(file), "--anchor", "7"])
    assert ended.value.code == 2


def test_an_export_is_an_anchor_itself() -> None:
    made = a_ledger()
    content = exported(made)
    for size in (1, 7, 1000):
        chunks = [content[at : at + size] for at in range(0, len(content), size)]
        assert anchor_of(chunks) == made.anchor(3)
    assert anchor_of([exported(MadeLedger())]) == Anchor(0, bytes(32))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:16] + b"\0\0\0\2" + content[20:],
        lambda content: b"x" + content[1:],
        lambda content: b"",
    ],
)
def test_a_damaged_file_is_no_anchor(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(ValueError, match="export"):
        anchor_of([damage(exported(a_ledger()))])
