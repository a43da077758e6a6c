"""`tidegate doctor` on a deployed stack."""

import json
import os
import pathlib
import subprocess

from deployment import CONTRACT, Deployment
from emulator import CREDENTIALS
from transcript import run

# Settings of the template that the emulator ignores silently. `doctor` finds them missing.
LEFT_OUT = {
    "stream: encryption",
    "items table: time to live",
    "items table: point-in-time recovery",
    "items table: encryption by KMS",
    "ledger table: point-in-time recovery",
    "ledger table: encryption by KMS",
    *(f"bucket: lifecycle: expiry of {prefix}" for prefix in CONTRACT["prefixes"]["temporary"]),
    "bucket: lifecycle: unfinished uploads are removed",
    # The emulator stores them, but its response in the Query protocol leaves them out.
    "alarms: notification",
}


def examine(tidegate: pathlib.Path, deployment: Deployment) -> set[str]:
    """What it finds. There is something to find: the emulator leaves settings out."""
    command = [*deployment.on_stack(tidegate, "doctor"), "--config", deployment.configuration]
    examined = run(command)
    assert examined.returncode == 1, "there is something to find"
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, env=os.environ | CREDENTIALS)
    assert as_json.returncode == 1, as_json.stderr
    return {f"{finding['about']}: {finding['setting']}" for finding in json.loads(as_json.stdout)["findings"]}
