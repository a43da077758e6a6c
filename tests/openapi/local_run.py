"""A local run in a temporary folder, on a port that the system chooses."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parent.parent.parent


class LocalRun:
    """`tidegate local` in a folder, with its data in `.tidegate`."""

    def __init__(self, tidegate: pathlib.Path, folder: pathlib.Path, variables: dict[str, str]):
        self.tidegate, self.folder, self.variables = tidegate.resolve(), folder, variables
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        """Starts it. After `kill`, it continues at the same address."""
        command = [self.tidegate, "local", "--listen", self.address]
        with self.log.open("a") as errors:
            environment = os.environ | self.variables
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=self.folder, env=environment
            )
        url = next((line.split()[1] for line in self.process.stdout if line.strip().startswith("requests ")), None)
        if url is None:
            raise SystemExit("`tidegate local` did not start")
        self.address = url.removeprefix("http://").removesuffix("/ingest")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> pathlib.Path:
        return self.folder / "log"


@contextlib.contextmanager
def local_run(tidegate: pathlib.Path, files: dict[str, str] = {}, variables: dict[str, str] = {}) -> Iterator[LocalRun]:
    """Starts `tidegate local` for the block, with these files in its folder."""
    with tempfile.TemporaryDirectory(prefix="tidegate-local-") as name:
        run = LocalRun(tidegate, pathlib.Path(name), variables)
        for file, text in files.items():
            (run.folder / file).write_text(text)
        run.start()
        try:
            yield run
        except BaseException:
            print(run.log.read_text()[-4000:])
            raise
        finally:
            # The folder is deleted, so nothing needs to be stored.
            run.kill()


def credentials() -> str:
    """The document of credentials that docs/deploy.md shows."""
    page = (ROOT / "docs/deploy.md").read_text()
    return re.search(r"\*\*The document\.\*\*.*?```json\n(.*?)```", page, re.DOTALL)[1]
