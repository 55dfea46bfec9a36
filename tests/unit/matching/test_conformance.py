"""The public message format: the published hashes, a report written by hand, and bad files."""

import hashlib
import lzma
import struct
from pathlib import Path

import pytest

from tests.lab.engine.conformance import ConformanceError, conform, main
from tests.unit.matching.shared_files import shared_file

NEW, CANCEL, MODIFY = range(3)
BUY, SELL = range(2)
HASHES = {
    "normal_s7_100k.bin.xz": "99070bf220482ac06c7059c1e169baab18e47dfa0121ee57b15b6bd21be3d668",
    "flash-crash_s7_100k.bin.xz": (
        "6395d5131f2c09c03c542ccebee609503279ae2f9f22457f2c483d6b72191aa8"
    ),
}

# (type, side, ioc, quantity, order id, price) of each message, and the reports it must give.
STORY = (
    ((NEW, SELL, 0, 5, 1, 101), ["0,1,1,1,101,5"]),
    ((NEW, SELL, 0, 3, 2, 101), ["0,2,1,2,101,3"]),
    ((NEW, BUY, 0, 2, 3, 101), ["0,3,0,3,101,2", "1,3,101,2,1,3"]),
    # Open quantity 4 after 2 of 5 were filled; behind #2 from now on.
    ((MODIFY, SELL, 0, 4, 1, 101), ["3,4,1,1,101,4"]),
    ((NEW, BUY, 1, 9, 4, 101), ["0,5,0,4,101,9", "1,5,101,3,2,4", "1,5,101,4,1,4", "2,5,0,4,101"]),
    ((CANCEL, 0, 0, 0, 1, 0), ["4,6,1"]),
    ((MODIFY, BUY, 0, 1, 1, 100), ["5,7,1"]),
    ((NEW, BUY, 0, 6, 5, 99), ["0,8,0,5,99,6"]),
    ((NEW, SELL, 0, 6, 6, 103), ["0,9,1,6,103,6"]),
    ((MODIFY, BUY, 0, 7, 5, 103), ["1,10,103,6,6,5", "3,10,0,5,103,7"]),
    ((CANCEL, 0, 0, 0, 5, 0), ["2,11,0,5,103"]),
)


def written(path: Path, messages: list[tuple[int, ...]], count: int | None = None) -> Path:
    """Write messages in the public format; their seq is their place in the list."""
    data = struct.pack("<QII", 0x4D4542575F303031, 1, len(messages) if count is None else count)
    for seq, (kind, side, ioc, quantity, order_id, price) in enumerate(messages, start=1):
        data += struct.pack("<BBBxIQQqq", kind, side, ioc, quantity, seq, order_id, price, 0)
    path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    return path


@pytest.mark.parametrize("name", HASHES)
def test_published_hash_is_met(name: str) -> None:
    """B2, D1."""
    result = conform(shared_file(f"oracle/{name}"))
    assert result.messages == 199_336
    assert result.sha256 == HASHES[name]


@pytest.mark.parametrize("suffix", [".bin", ".bin.xz"])
@pytest.mark.parametrize("batch_max", [1, 4, 1_000])
def test_report_stream_in_any_batches(tmp_path: Path, suffix: str, batch_max: int) -> None:
    path = written(tmp_path / f"story{suffix}", [message for message, _ in STORY])
    text = "\n".join(line for _, lines in STORY for line in lines)
    result = conform(path, batch_max)
    assert result.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (result.messages, result.trades) == (len(STORY), 4)


def test_command_line_prints_speed_and_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "one.bin", [STORY[0][0]])
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("timed: Engine.apply")
    assert lines[1] == f"{path}: 1 messages, 0 trades"
    assert lines[2].endswith(" messages/s")
    assert lines[3] == hashlib.sha256(b"0,1,1,1,101,5").hexdigest()


def test_command_line_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_absent_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.bin")]) == 1
    assert "absent.bin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("messages", "count", "reason"),
    [
        ([STORY[0][0]], 2, "ends"),
        ([(3, BUY, 0, 1, 1, 100)], 1, "outside the format"),
        ([(NEW, 2, 0, 1, 1, 100)], 1, "outside the format"),
        ([(NEW, BUY, 0, 0, 1, 100)], 1, "outside the format"),
        ([(NEW, BUY, 0, 1, 1, 0)], 1, "outside the format"),
        ([STORY[0][0], STORY[0][0]], 2, "no report"),
    ],
)
def test_file_outside_the_format(
    tmp_path: Path, messages: list[tuple[int, ...]], count: int, reason: str
) -> None:
    path = written(tmp_path / "bad.bin", messages, count)
    with pytest.raises(ConformanceError, match=reason):
        conform(path)


def test_header_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(b"short")
    with pytest.raises(ConformanceError, match="header"):
        conform(path)
    path.write_bytes(bytes(16))
    with pytest.raises(ConformanceError, match="magic"):
        conform(path)


def test_seq_must_ascend(tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    record = struct.pack("<BBBxIQQqq", NEW, BUY, 0, 1, 5, 1, 100, 0)
    other = struct.pack("<BBBxIQQqq", NEW, BUY, 0, 1, 4, 2, 100, 0)
    path.write_bytes(struct.pack("<QII", 0x4D4542575F303031, 1, 2) + record + other)
    with pytest.raises(ConformanceError, match="out of order"):
        conform(path, batch_max=1)
