"""What the client was told, kept where no crash of the exchange can reach it."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Acknowledged(msgspec.Struct, array_like=True):
    """One answer that promised something: an order's acceptance, or a cancel's."""

    client_order_id: str
    order_id: str
    is_cancel: bool
    status: int


class EvidenceFile:
    """Append-only lines, each on disk before the client goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("ab")
        self._encode = msgspec.json.Encoder().encode

    def add(self, acknowledged: Acknowledged) -> None:
        """Write one line and wait for the disk."""
        self._stream.write(self._encode(acknowledged) + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def read(self) -> Iterator[Acknowledged]:
        """Yield every line from the start."""
        decoder = msgspec.json.Decoder(Acknowledged)
        with self.path.open("rb") as stream:
            for line in stream:
                yield decoder.decode(line)
