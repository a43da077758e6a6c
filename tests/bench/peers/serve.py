"""The protocol of `work serve`."""

import pathlib
import sys
import time
from collections.abc import Callable


def serve(round: Callable[[], Callable[[pathlib.Path], None]]) -> None:
    """Runs `round` for each line that is read, and prints the processor time in seconds. If the line is a folder, the function
    that `round` returned writes into it."""
    for line in sys.stdin:
        before = time.process_time()
        write = round()
        used = time.process_time() - before
        if folder := line.strip():
            write(pathlib.Path(folder))
        print(used, flush=True)
