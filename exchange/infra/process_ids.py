"""The ids that this process makes outside of its hot paths, which have generators of their own."""

import os
import time

from exchange.domain.ids import IdGenerator
from exchange.infra.database import node_number

_generators: dict[int, IdGenerator] = {}


def process_ids() -> IdGenerator:
    """The generator of this process: journals and entries, commands of tasks."""
    pid = os.getpid()  # a forked worker must not go on with its parent's
    generator = _generators.get(pid)
    if generator is None:
        generator = _generators[pid] = IdGenerator(
            node_number(), lambda: time.time_ns() // 1_000_000
        )
    return generator
