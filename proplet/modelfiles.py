"""The files of `run.models`: blobs under the names their spec gives them, for one guest to read.

Called by `supervisor` before a start. Names are links to the blobs, so a model costs no second copy
and stays while a guest reads it, whatever is evicted; the guest sees the directory read-only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from propeller.wire.messages import Entry
from proplet.blobs import Blobs

PLACE = "/models"
"""Where a guest sees them."""


def lay_out(entry: Entry, directory: Path, blobs: Blobs) -> list[tuple[str, str, bool]]:
    """Put the entry's models into `directory`; the mount that shows it, if there are any.

    A mount is (directory, path of the guest, writable). Raises OSError.
    """
    if not entry.models:
        return []
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    for model in entry.models:
        source, name = blobs.path(model.blob.digest), directory / model.name
        try:
            os.link(source, name)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, name)
    return [(str(directory), PLACE, False)]
