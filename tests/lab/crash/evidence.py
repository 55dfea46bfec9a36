"""Acknowledgements that the client received, in a file that no crash of the exchange reaches."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Acknowledged(msgspec.Struct, array_like=True):
    """One acknowledgement: of an order's acceptance, or of a cancel."""

    client_order_id: str
    order_id: str
    is_cancel: bool
    status: int


class EvidenceFile:
    """Append-only lines; each is on disk before the client sends its next request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("ab")
        self._encode = msgspec.json.Encoder().encode

    def add(self, acknowledged: Acknowledged) -> None:
        """Write one line and fsync the file."""
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
