"""Runs schemathesis on the OpenAPI document of a local run: once as the defaults are, once where a key is needed."""

import argparse
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

from local_run import LocalRun, credentials, local_run

HERE = pathlib.Path(__file__).parent
# Of `acme` in the document of credentials.
KEY = "acme-key"
# Anyone may call these.
OPEN = {"/health", "/openapi.json"}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    arguments.add_argument("--schemathesis", type=pathlib.Path, required=True)
    arguments.add_argument("--seed", type=int, default=20261127)
    arguments.add_argument("--seconds", type=int, default=40, help="for each of two configurations")
    given = arguments.parse_args()
    # Tens of thousands of events of one tenant within seconds. Most would be answered 429.
    no_quota = {f"TIDEGATE__QUOTAS__DEFAULT__BYTES_{name}": "100000000" for name in ["PER_SECOND", "BURST"]}
    with local_run(given.tidegate, variables=no_quota) as run:
        schemathesis(run, given, [], {})
    variables = no_quota | {"TIDEGATE__AUTH__MODE": "api_key", "TIDEGATE__AUTH__CREDENTIALS_FILE": "credentials.json"}
    with local_run(given.tidegate, {"credentials.json": credentials()}, variables) as run:
        without_a_key(run)
        schemathesis(run, given, ["--header", f"Authorization: Bearer {KEY}"], {"TENANT_OF_KEY": "acme"})


def schemathesis(run: LocalRun, given: argparse.Namespace, options: list[str], variables: dict[str, str]) -> None:
    command = [given.schemathesis.resolve(), "--config-file", HERE / "schemathesis.toml", "run", f"http://{run.address}/openapi.json"]
    command += ["--seed", str(given.seed), "--max-time", str(given.seconds), *options]
    environment = os.environ | variables | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "no_proxy": "127.0.0.1"}
    # In the folder of the run: what schemathesis remembers there would change the next run of this seed.
    ran = subprocess.run(command, cwd=run.folder, env=environment, timeout=3 * given.seconds + 60)
    if ran.returncode != 0:
        raise SystemExit(f"schemathesis found something: again with --seed {given.seed}")


def without_a_key(run: LocalRun) -> None:
    """Every call but the open ones answers 401."""
    _status, document = answer(run, "GET", "/openapi.json")
    calls = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    for method, path in calls:
        status, _body = answer(run, method, path.replace("{id}", "a-1").replace("{tenant}", "acme"))
        assert status == (200 if path in OPEN else 401), (method, path, status)
    print(f"Without a key: {len(calls) - len(OPEN)} calls answer 401, {', '.join(sorted(OPEN))} answer 200.", flush=True)


def answer(run: LocalRun, method: str, path: str) -> tuple[int, dict]:
    body = b"{}" if method == "POST" else None
    request = urllib.request.Request(f"http://{run.address}{path}", body, {"Content-Type": "application/json"}, method=method)
    # Without a proxy of the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


if __name__ == "__main__":
    main()
