"""What a stack has only where it is switched on: API keys, reading back, dispatch, notifications of new objects."""

import hashlib
import json
import pathlib
import re

from deployment import ROOT, Deployment
from emulator import client
from sender import JSON, Sender, eventually
from target import Target
from transcript import NAMES, heading, run, say
from verify import TENANT

# They send with a key. The secret has the keys' hashes.
TENANTS = ["acme", "beta_inc", TENANT, *(f"tenant-{number}" for number in range(10))]


def keys_of(tenants: list[str]) -> dict[str, str]:
    return {tenant: f"key-of-{tenant}" for tenant in tenants}


def store_keys(deployment: Deployment, keys: dict[str, str]) -> None:
    """As an operator does it, into the stack's secret."""
    tenants = [{"tenant": tenant, "tier": "pro", "api_keys_sha256": [hashlib.sha256(key.encode()).hexdigest()]} for tenant, key in keys.items()]
    secrets = client("secretsmanager", deployment.url)
    secrets.put_secret_value(SecretId=deployment.outputs["CredentialsSecret"], SecretString=json.dumps({"tenants": tenants}))
    say(f"the secret gets the keys of {len(tenants)} tenants")


class Options:
    CHANGES = {
        'mode = "none"': 'mode = "api_key"',
        # A change of the credentials is not waited for as long as in a deployment.
        "refresh_seconds = 300": "refresh_seconds = 1",
        "enabled = false": "enabled = true",
        # `-c dispatchUrl=` overrides it.
        'url = ""': 'url = "https://target.invalid/graphql"',
        "rate_per_second = 10.0": "rate_per_second = 50.0",
        '# Authorization = "Bearer {secret}"': 'Authorization = "Bearer {secret}"',
    }

    def __init__(self, deployment: Deployment, sender: Sender, tidegate: pathlib.Path) -> None:
        self.deployment, self.sender, self.tidegate = deployment, sender, tidegate
        self.secrets, self.sqs = client("secretsmanager", deployment.url), client("sqs", deployment.url)
        self.target = Target("first token")
        NAMES[self.target.url] = "$TARGET"
        # The target gets what is stored from now on.
        self.before = set(sender.expected)

    def context(self) -> list[str]:
        token = self.secrets.create_secret(Name="target-of-dispatch", SecretString=self.target.token)
        return ["reads=true", "objectNotifications=true", f"dispatchUrl={self.target.url}", f"dispatchSecret={token['ARN']}"]

    def listen(self) -> None:
        """A rule sends what is new in the archive to a queue. Its pattern is the one of docs/settings.md."""
        (pattern,) = re.findall(r"## New objects\n.*?```json\n(.*?)```", (ROOT / "docs/settings.md").read_text(), re.DOTALL)
        self.queue = self.sqs.create_queue(QueueName="new-objects")["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        events = client("events", self.deployment.url)
        events.put_rule(Name="new-objects", EventPattern=pattern.replace("the output Bucket", self.deployment.outputs["Bucket"]))
        events.put_targets(Rule="new-objects", Targets=[{"Id": "queue", "Arn": attributes["QueueArn"]}])
        self.archived = set(self.deployment.stored().keys("events/"))

    def new_objects(self) -> None:
        heading("New objects")
        told: set[str] = set()

        def receive() -> set[str]:
            messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
            told.update(json.loads(message["Body"])["detail"]["object"]["key"] for message in messages)
            return told

        new = set(self.deployment.stored().keys("events/")) - self.archived
        eventually("each new archive object is told", receive, lambda keys: keys >= new)
        assert told == new, told - new
        say(f"EventBridge told of {len(told)} archive objects, which are those of this change")

    def credentials(self) -> None:
        """Every request is refused until an operator stores the document."""
        heading("API keys")
        keys = keys_of(TENANTS)
        event = ("/ingest", '{"tenant_id":"acme","log_id":"later","text":"User 555-0199 left"}', JSON)
        assert self.sender.curl(*event)[1]["code"] == "credential_missing"
        status, answer = self.sender.curl(*event, f"X-Api-Key: {keys['acme']}")
        assert (status, answer["code"]) == (401, "credential_invalid"), answer
        store_keys(self.deployment, keys)
        self.sender.keys = keys
        eventually("the key is known", lambda: self.sender.request(*event, *self.sender.key("acme"))[0], lambda status: status == 202)
        assert self.sender.curl(*event, *self.sender.key("acme"))[0] == 202
        self.sender.expected |= {("acme", "later")}
        status, answer = self.sender.curl(*event, *self.sender.key("beta_inc"))
        assert (status, answer["code"]) == (403, "credential_mismatch"), answer

    def reads(self) -> None:
        heading("Reading back")
        status, answer = self.sender.curl("/events/later", None, *self.sender.key("acme"))
        assert (status, answer["text"]) == (200, "USER [REDACTED] LEFT"), answer
        assert self.sender.curl("/events/later", None, *self.sender.key("beta_inc"))[0] == 404, "of another tenant"
        assert self.sender.curl("/events/123", None, *self.sender.key("acme"))[0] == 200, "an event from before"
        status, answer = self.sender.curl("/events?limit=10", None, *self.sender.key("acme"))
        assert status == 200 and [event["event_id"] for event in answer["events"]] == ["later"], "those before the index are not listed"
        found, path = [], "/events?limit=8"
        while True:
            status, answer = self.sender.request(path, None, *self.sender.key("tenant-0"))
            assert status == 200, answer
            found.append([event["event_id"] for event in answer["events"]])
            if answer["next_cursor"] is None:
                break
            path = f"/events?limit=8&cursor={answer['next_cursor']}"
        listed = [event for page in found for event in page]
        expected = {event for tenant, event in self.sender.expected - self.before if tenant == "tenant-0"}
        assert set(listed) == expected and len(listed) == len(expected), (listed, expected)
        say(f"tenant-0 lists its {len(listed)} events in pages of {', '.join(str(len(page)) for page in found)}, each once")

    def dispatch(self) -> None:
        heading("Dispatch")
        self.all_taken()
        event = self.target.taken["acme/later"]
        say(f"the target got {len(self.target.taken)} events, those from before the change not among them: {json.dumps(event)}")

        self.target.token = "second token"
        self.secrets.put_secret_value(SecretId="target-of-dispatch", SecretString=self.target.token)
        self.target.refuses = {"refused"}
        for name in ("refused", "rotated"):
            body = json.dumps({"id": name, "text": "after the change of the token"})
            assert self.sender.request("/ingest", body, JSON, *self.sender.key("acme"))[0] == 202
        self.sender.expected |= {("acme", "rotated")}
        self.all_taken()
        assert self.target.unauthorized > 0, "the old token was tried"
        say(f"the token was changed, at the target and in its secret: {self.target.unauthorized} calls were answered 401, the next had the new one")

        self.sender.expected |= {("acme", "refused")}
        self.status("refused", "failed")
        redrive = [*self.deployment.on_stack(self.tidegate, "redrive"), "--source", "dispatch"]
        shown = run(redrive)
        assert shown.returncode == 0 and "1 events go to the dispatch queue again" in shown.stdout, "the refused event is a dead letter"
        self.target.refuses = set()
        assert run([*redrive, "--apply"]).returncode == 0
        self.all_taken()
        self.status("refused", "delivered")
        again = sorted(key for key, times in self.target.times.items() if times > 1)
        assert again == [], f"each once: {again}"
        keys = {(f"tenants/{tenant}", f"processed_logs/{event}") for tenant, event in self.sender.expected - self.before}
        assert eventually("each item is marked", self.delivered, lambda found: found >= keys) == keys, "no other item is marked"
        say(f"{len(self.target.taken)} events are at the target, each once, and the item of each says `delivered`")

    def all_taken(self) -> None:
        keys = {f"{tenant}/{event}" for tenant, event in self.sender.expected - self.before}
        eventually("all events at the target", lambda: set(self.target.taken), lambda taken: taken >= keys)
        assert set(self.target.taken) == keys, set(self.target.taken) - keys

    def status(self, event: str, status: str) -> None:
        name = ("tenants/acme", f"processed_logs/{event}")
        item = eventually(f"{event} is {status}", lambda: self.deployment.stored().items().get(name, {}), lambda item: self.status_of(item) == status)
        say(f"item of {event}: {json.dumps({name: next(iter(value.values())) for name, value in item.items() if name.startswith('dispatch_')})}")

    def delivered(self) -> set[tuple[str, str]]:
        return {name for name, item in self.deployment.stored().items().items() if self.status_of(item) == "delivered"}

    @staticmethod
    def status_of(item: dict) -> str | None:
        return item.get("dispatch_status", {}).get("S")
