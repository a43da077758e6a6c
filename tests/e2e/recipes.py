"""`tidegate accept` of each recipe, through the Function URL of its deployment on an emulator of AWS."""

import os
import pathlib
import re

from deployment import Deployment
from emulator import free_port, ministack
from faults import Faults
from transcript import NAMES, heading, run, running, say

DEADLINE_S = 120
# The emulator answers about ten requests a second, and each of the functions' calls takes it milliseconds.
LOAD = ["--seconds", "15", "--rate", "5", "--patience", "3"]
# Overrides of the recipes' keys, in the environment of functions and of `accept`. As in `run.py`, a put gets more time. Dispatch is
# slower than the source. An event that always fails is called five times, not for hours, and clocks differ by what the emulator takes.
OVERRIDES = {
    "TIDEGATE__PUBLISH__BUDGET_MS": "3000",
    "TIDEGATE__PUBLISH__ATTEMPT_MS": "1500",
    "TIDEGATE__PUBLISH__SPILL_MS": "5000",
    "TIDEGATE__DISPATCH__RATE_PER_SECOND": "4",
    "TIDEGATE__DISPATCH__GUARD_MS": "400",
    "TIDEGATE__DISPATCH__MAX_ATTEMPTS": "5",
    "TIDEGATE__DISPATCH__BACKOFF_MS": "250",
    "TIDEGATE__DISPATCH__BACKOFF_MOST_MS": "4000",
    "TIDEGATE__DISPATCH__TIMEOUT_MS": "3000",
}
RECIPES = ["event-bridge", "event-receiver", "event-streaming", "http-ingestion", "robust-data-processor"]
# Every line passes, or is skipped for one of these reasons. The recipes have no credentials; `options.py` uses some.
REASONS = ("needs AWS: ", "not a request: ", "needs the process", "needs the worker's process", "needs credentials: ")


def accept_each(functions: pathlib.Path, tidegate: pathlib.Path, folder: pathlib.Path) -> None:
    """All deployments are on one emulator, one after the other."""
    folder.mkdir()
    os.environ |= OVERRIDES
    port = free_port()
    proxy = Faults(port)
    with ministack(folder / "ministack.log", port, proxy.url) as url:
        NAMES[url] = "$AWS"
        deployment = Deployment(url, proxy.url, folder)
        deployment.bootstrap()
        for name, value in OVERRIDES.items():
            say(f"{name}={value}")
        for recipe in RECIPES:
            accept(recipe, deployment, functions, tidegate)
            deployment.delete()


def accept(recipe: str, deployment: Deployment, functions: pathlib.Path, tidegate: pathlib.Path) -> None:
    heading(recipe)
    context, options = [f"recipe={recipe}"], LOAD
    if recipe == "event-bridge":
        # `accept` listens there.
        target = f"127.0.0.1:{free_port()}"
        NAMES[target] = "$TARGET"
        context, options = [*context, f"dispatchUrl=http://{target}/graphql"], [*LOAD, "--target", target]
    status = deployment.deploy(functions, *context)
    NAMES[deployment.ingest_url()] = "$URL"
    say("$ cdk deploy", *(f"-c {setting}" for setting in context))
    say(f"{deployment.name}: {status}, {len(deployment.resources())} resources")
    deployment.update_mapping(Enabled=False)
    log = deployment.folder / f"{recipe}.log"
    with running([*deployment.on_stack(tidegate, "mapping"), "--data", deployment.folder / recipe], DEADLINE_S, log):
        accepted = run([*deployment.on_stack(tidegate, "accept", recipe, "--url", deployment.ingest_url()), *options])
    assert accepted.returncode == 0, f"{recipe} is not accepted; the mapping printed:\n{log.read_text()[-4000:]}"
    reasons = re.findall(r"^SKIP  .*\n +(.*)", accepted.stdout, re.MULTILINE)
    assert all(reason.startswith(REASONS) for reason in reasons), reasons
