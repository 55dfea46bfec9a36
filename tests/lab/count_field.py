"""How many files name a field of an order: `python -m tests.lab.count_field activation_price ...`.

Give all spellings of the field: its column and its name in the engine. A file counts once however
often it names the field, also as a part of a longer name. Tests and documents do not count.
"""

import argparse
import re
import subprocess
from collections import defaultdict
from pathlib import PurePath
from typing import Final

CODE: Final = ("*.py", "*.js", "*.html", "*.sql")
PAGES: Final = {".js", ".html"}


def files_naming(spellings: list[str]) -> dict[str, list[str]]:
    """The tracked files that name the field, by kind: engine, product, pages, migrations."""
    pattern = "|".join(map(re.escape, spellings))
    command = ["git", "grep", "-lE", pattern, "--", *CODE, ":!tests"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in found.stdout.split():
        kinds[_kind_of(PurePath(name))].append(name)
    return kinds


def _kind_of(path: PurePath) -> str:
    if "migrations" in path.parts:
        return "migrations"
    if path.suffix in PAGES:
        return "pages"
    is_engine = path.parts[0] == "matching"
    return "engine" if is_engine else "product"


def main() -> None:
    """Print the counts and the names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spelling", nargs="+")
    for kind, names in sorted(files_naming(parser.parse_args().spelling).items()):
        print(f"{kind} {len(names)}: {' '.join(names)}")


if __name__ == "__main__":
    main()
