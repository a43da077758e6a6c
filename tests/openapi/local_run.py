"""A local run in a temporary folder, on a port that the system chooses."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclass
class LocalRun:
    """Where it listens, and the folder that it runs in, with its data in `.tidegate`."""

    address: str
    folder: pathlib.Path


@contextlib.contextmanager
def local_run(tidegate: pathlib.Path, files: dict[str, str] = {}, variables: dict[str, str] = {}) -> Iterator[LocalRun]:
    """Starts `tidegate local` for the block, with these files in its folder."""
    with tempfile.TemporaryDirectory(prefix="tidegate-openapi-") as name:
        folder = pathlib.Path(name)
        for file, text in files.items():
            (folder / file).write_text(text)
        command = [tidegate.resolve(), "local", "--listen", "127.0.0.1:0"]
        log = folder / "log"
        with log.open("w") as errors:
            environment = os.environ | variables
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment)
        try:
            url = next((line.split()[1] for line in process.stdout if line.strip().startswith("requests ")), None)
            if url is None:
                raise SystemExit("`tidegate local` did not start")
            yield LocalRun(url.removeprefix("http://").removesuffix("/ingest"), folder)
        except BaseException:
            print(log.read_text()[-4000:])
            raise
        finally:
            # The folder is deleted, so nothing needs to be stored.
            process.kill()
            process.wait()


def credentials() -> str:
    """The document of credentials that docs/deploy.md shows."""
    page = (ROOT / "docs/deploy.md").read_text()
    return re.search(r"\*\*The document\.\*\*.*?```json\n(.*?)```", page, re.DOTALL)[1]
