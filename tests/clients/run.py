"""Clients that people use, each against a local run. Prints a line for each: what it sent, when all of it is stored once."""

import argparse
import json
import pathlib
import shutil
import subprocess

import browser
import cloud_events
import collector
import kpl
import otlp
from local_run import LocalRun, local_run
from stored import audit, stored

HERE = pathlib.Path(__file__).parent
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = {"standard": STANDARD, "github": "It's a Secret to Everybody", "stripe": "whsec_of_an_endpoint_at_stripe"}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    arguments.add_argument("--modules", type=pathlib.Path, required=True, help="the folder with node_modules")
    given = arguments.parse_args()
    with browser.site() as pages:
        variables = {
            "TIDEGATE__TIERS__DEFAULT": "free",
            "TIDEGATE__CORS__ORIGINS": json.dumps([pages.origin]),
            "TIDEGATE__CORS__TEXT_IS_JSON": "true",
        }
        with local_run(given.tidegate, variables=variables) as run:
            sent = {
                "node": by_node(run, given.modules),
                "aws_kinesis_agg": kpl.send(run),
                "chromium": browser.send(run, pages),
                "cloudevents": cloud_events.send(run),
            }
            report(run, sent)
        # Of its own, because it is killed.
        with local_run(given.tidegate, variables=variables) as run:
            report(run, {"opentelemetry": otlp.send(run)})
    with collector.collector() as spans:
        with local_run(given.tidegate, variables=variables | {"TIDEGATE__TELEMETRY__TRACES_URL": spans.url}) as run:
            report(run, {"opentelemetry's spans": collector.send(run, spans)})
    credentials = {
        "tenants": [
            {
                "tenant": "acme",
                "tier": "pro",
                "webhook_secrets": [STANDARD, f"github:{SECRETS['github']}", f"stripe:{SECRETS['stripe']}"],
            }
        ]
    }
    variables = {"TIDEGATE__AUTH__MODE": "signature", "TIDEGATE__AUTH__CREDENTIALS_FILE": "credentials.json"}
    with local_run(given.tidegate, {"credentials.json": json.dumps(credentials)}, variables) as run:
        report(run, {"webhooks": by_webhooks(run, given.modules)})


def by_node(run: LocalRun, modules: pathlib.Path) -> tuple[int, str]:
    node(modules, "node.mjs", run.address)
    for tenant in ("fetch", "undici"):
        stored(run, tenant, 1000)
    return 2000, "1,000 events by fetch and 1,000 by undici, compressed and without a length, sent twice"


def by_webhooks(run: LocalRun, modules: pathlib.Path) -> tuple[int, str]:
    answers = json.loads(node(modules, "webhooks.mjs", run.address, "acme", json.dumps(SECRETS)))
    if any(codes != [202, 202, 401] for codes in answers.values()):
        raise SystemExit(f"signed, the same again, changed: {answers}")
    lines = stored(run, "acme", len(answers))
    assert {line["id"] for line in lines} == {"msg_1", "delivery-1", "evt_1"}, lines
    assert all((line["text"], line["fields"]["amount"]) == ("café / 🚀", 1.0) for line in lines), lines
    return len(answers), f"{', '.join(answers)}: a message of each, sent twice; changed, it was refused"


def node(modules: pathlib.Path, program: str, *arguments: str) -> str:
    # Node looks for modules in the folders above a program.
    copied = shutil.copy(HERE / program, modules)
    ran = subprocess.run(["node", copied, *arguments], capture_output=True, text=True, timeout=120)
    if ran.returncode != 0:
        raise SystemExit(f"{program} failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def report(run: LocalRun, sent: dict[str, tuple[int, str]]) -> None:
    for client, (_events, what) in sent.items():
        print(f"{client}: {what}", flush=True)
    print(audit(run, sum(events for events, _what in sent.values())), flush=True)


if __name__ == "__main__":
    main()
