"""`python -m tests.lab.walk FILE`: write the walk as JSON, functions by file.

DATABASE_URL and REDIS_URL must belong to an exchange without users, as in tests.
"""

import json
import os
import sys
from pathlib import Path

import django

from tests.lab.walk.recorder import Recorder


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    django.setup()
    from tests.lab.walk.one_order import walk

    recorder = Recorder()
    recorder.watch()
    walk(recorder)
    Path(sys.argv[1]).write_text(json.dumps(recorder.functions))


main()
