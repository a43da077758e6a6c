"""The stack of `cdk/`, deployed to an emulator by the CDK's own command line."""

import json
import os
import pathlib
import subprocess

from emulator import CREDENTIALS, REGION, client
from faults import FUNCTION_URL
from stored import Stored

ROOT = pathlib.Path(__file__).parent.parent.parent
CONTRACT = json.loads((ROOT / "cdk/contract.json").read_text())
ACCOUNT = "000000000000"
# The app without saved Athena queries and alarms on two metrics; and a setting: without CodeDeploy. The emulator does not have them.
APP = "npx tsx bin/emulator.ts"
LACKING = ["canary=false"]
# The emulator is slow, and the machine may be: a put gets more time than in a deployment.
MORE_TIME = {"budget_ms = 250": "budget_ms = 3000", "attempt_ms = 120": "attempt_ms = 1500", "spill_ms = 150": "spill_ms = 5000"}


class Deployment:
    """`cdk bootstrap`, `cdk deploy`, `cdk destroy`, and the stack's outputs."""

    def __init__(self, url: str, gateway: str, folder: pathlib.Path, stage: str = "dev") -> None:
        """`gateway` is where requests to the Function URL go."""
        self.url, self.gateway, self.folder, self.stage, self.name = url, gateway, folder, stage, f"Tidegate-{stage}"
        self.configuration = folder / "tidegate.toml"
        self.outputs: dict[str, str] = {}
        self.functions, self.cloudformation = client("lambda", url), client("cloudformation", url)

    def bootstrap(self, *context: str) -> None:
        self.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}", *options("assets=placeholder", *context))

    def configure(self, changes: dict[str, str]) -> str:
        """Writes `tidegate.toml` with these changes. Returns the `-c` option that deploys it."""
        text = (ROOT / "tidegate.toml").read_text()
        for old, new in (MORE_TIME | changes).items():
            assert old in text, f"tidegate.toml has no `{old}`"
            text = text.replace(old, new)
        self.configuration.write_text(text)
        return f"configuration={self.configuration}"

    def deploy(self, functions: pathlib.Path, *context: str) -> str:
        """Creates or updates the stack with these `-c` options. Returns its status."""
        outputs = self.folder / "outputs.json"
        settings = options("assets=prebuilt", f"functions={functions}", *context, *LACKING)
        self.cdk("deploy", "--require-approval", "never", "--outputs-file", outputs, *settings)
        self.outputs = json.loads(outputs.read_text())[self.name]
        return self.stack()["StackStatus"]

    def stack(self) -> dict:
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return stack

    def destroy(self, *context: str) -> None:
        self.cdk("destroy", "--force", *options("assets=placeholder", *context))

    def delete(self) -> None:
        """What `destroy` does, in a second."""
        self.cloudformation.delete_stack(StackName=self.name)
        self.cloudformation.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})

    def cdk(self, *arguments: object) -> None:
        # No telemetry, no notices, no context file: it talks only to the emulator and writes nothing to the folder.
        environment = os.environ | CREDENTIALS | {
            "AWS_ENDPOINT_URL": self.url,
            "CDK_DEFAULT_ACCOUNT": ACCOUNT,
            "CDK_DEFAULT_REGION": REGION,
            "CDK_DISABLE_CLI_TELEMETRY": "true",
        }
        command = ["npx", "cdk", *map(str, arguments), "-c", f"stage={self.stage}", "--app", APP, "--no-notices", "--output", str(self.folder / "cdk.out")]
        ran = subprocess.run(command, cwd=ROOT / "cdk", env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"cdk {arguments[0]} failed:\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"

    def resources(self) -> list[str]:
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [found["ResourceType"] for page in pages for found in page["StackResourceSummaries"]]

    def ingest_url(self) -> str:
        """The emulator serves `https://<id>.lambda-url.…/` under a path."""
        return f"{self.gateway}{FUNCTION_URL}{self.outputs['Url'].split('//')[1].split('.')[0]}"

    def stored(self) -> Stored:
        return Stored(self.url, self.outputs["Bucket"], self.outputs["ItemsTable"], self.outputs["LedgerTable"])

    def on_stack(self, *command: object) -> list:
        """A command with the arguments that name the stack."""
        return [*command, "--stack", self.name, "--endpoint-url", self.url]

    def update_mapping(self, **settings: object) -> None:
        self.functions.update_event_source_mapping(UUID=self.outputs["Mapping"], **settings)


def options(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("-c", setting)]
