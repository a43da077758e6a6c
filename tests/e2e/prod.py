"""The stage `prod`, deployed to the emulator as its file says: what was made of each setting, some events from request to item,
`tidegate doctor`, and what stays after `cdk destroy`."""

import json
import pathlib
import re
import tomllib

import botocore.exceptions
from deployment import CONTRACT, ROOT, Deployment
from doctor import LEFT_OUT, examine
from emulator import client
from options import keys_of, store_keys
from sender import DEADLINE_S, Sender, eventually
from transcript import heading, run, running, say

EVENTS = 20
# Settings of the template that the emulator ignores silently.
IGNORED = {"reservedConcurrency"}
# The outputs with the functions that are in the VPC of a stage.
IN_VPC = ["IngestFunction", "ConsumerFunction", "DrainFunction"]
# Of an alarm, as the template has them and as CloudWatch describes them.
OF_ALARM = ["AlarmDescription", "Namespace", "MetricName", "Period", "Threshold", "ComparisonOperator", "EvaluationPeriods", "TreatMissingData"]


class Prod:
    def __init__(self, deployment: Deployment, functions: pathlib.Path, tidegate: pathlib.Path) -> None:
        self.deployment, self.functions, self.tidegate = deployment, functions, tidegate
        self.sender = Sender(deployment)

    def all(self) -> None:
        heading("The stage prod")
        # Without credentials the synthesis refuses it.
        self.configuration = self.deployment.configure({'mode = "none"': 'mode = "api_key"', "refresh_seconds = 300": "refresh_seconds = 1"})
        self.deployment.bootstrap(self.configuration)
        status = self.deployment.deploy(self.functions, self.configuration)
        say(f"{self.deployment.name}: {status}, {len(self.deployment.resources())} resources")
        self.settings()
        self.alarms()
        self.events()
        self.doctor()
        self.own_key_and_vpc()
        # The emulator does not put functions into a VPC. So they seem not to need these.
        actions, functions = CONTRACT["actions"]["inVpc"], (self.deployment.outputs[name] for name in IN_VPC)
        self.doctor(*(f"role of {function}: {action} on *" for function in functions for action in actions))
        self.destroy()

    def settings(self) -> None:
        """What the emulator has, beside what the stage's file and the defaults say."""
        should = defaults() | tomllib.loads((ROOT / "cdk/stages/prod.toml").read_text())
        has = self.deployed()
        for name, value in has.items():
            say(f"  {name} = {value}{', which the emulator ignores' if name in IGNORED else ''}")
        wrong = {name for name, value in has.items() if str(value).lower() != str(should[name]).lower()}
        assert wrong == IGNORED, {name: (should[name], has[name]) for name in wrong ^ IGNORED}

    def deployed(self) -> dict[str, object]:
        """By the names of the settings."""
        outputs, url = self.deployment.outputs, self.deployment.url
        stream = client("kinesis", url).describe_stream_summary(StreamName=outputs["Stream"])["StreamDescriptionSummary"]
        functions = client("lambda", url)
        ingest, consumer = (functions.get_function_configuration(FunctionName=outputs[name]) for name in ("IngestFunction", "ConsumerFunction"))
        mapping = functions.get_event_source_mapping(UUID=outputs["Mapping"])
        reserved = functions.get_function_concurrency(FunctionName=outputs["IngestFunction"])
        groups = client("logs", url).describe_log_groups(logGroupNamePrefix=f"/aws/cloudformation/{self.deployment.name}/")["logGroups"]
        return {
            "protectData": one({self.deployment.stack()["EnableTerminationProtection"], *(self.table(name)["DeletionProtectionEnabled"] for name in ("ItemsTable", "LedgerTable"))}),
            "stream": stream["OpenShardCount"],
            "retentionHours": stream["RetentionPeriodHours"],
            "recordAgeHours": mapping["MaximumRecordAgeInSeconds"] // 3600,
            "reservedConcurrency": reserved.get("ReservedConcurrentExecutions", "none"),
            "ingestMemoryMb": ingest["MemorySize"],
            "consumerMemoryMb": consumer["MemorySize"],
            "architecture": one({*ingest["Architectures"], *consumer["Architectures"]}),
            "tracing": one({function["TracingConfig"]["Mode"] for function in (ingest, consumer)}) == "Active",
            "itemsCapacity": {"PAY_PER_REQUEST": "on-demand"}.get(self.table("ItemsTable")["BillingModeSummary"]["BillingMode"]),
            "archiveVersioned": client("s3", url).get_bucket_versioning(Bucket=outputs["Bucket"]).get("Status") == "Enabled",
            "logDays": one({group["retentionInDays"] for group in groups}),
        }

    def table(self, output: str) -> dict:
        return client("dynamodb", self.deployment.url).describe_table(TableName=self.deployment.outputs[output])["Table"]

    def alarms(self) -> None:
        """Each as in the template, with its runbook, and not raised."""
        template = json.loads((self.deployment.folder / f"cdk.out/{self.deployment.name}.template.json").read_text())
        wanted = [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == "AWS::CloudWatch::Alarm"]
        found = client("cloudwatch", self.deployment.url).describe_alarms()["MetricAlarms"]

        def of(alarm: dict) -> list:
            # The emulator describes an average beside a percentile. The values of dimensions are references in the template.
            statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
            dimensions = sorted(dimension["Name"] for dimension in alarm.get("Dimensions", []))
            return [*(alarm[name] for name in OF_ALARM), alarm.get("DatapointsToAlarm"), statistic, dimensions]

        assert sorted(map(of, found)) == sorted(map(of, wanted)), (sorted(map(of, found)), sorted(map(of, wanted)))
        pages = {alarm["AlarmDescription"].rpartition("docs/runbooks/")[2] for alarm in found}
        assert all((ROOT / "docs/runbooks" / page).is_file() for page in pages), pages
        raised = [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]
        assert raised == [], raised
        say(f"{len(found)} alarms, each with the metric, period and threshold of the template and with its runbook; none is raised")

    def events(self) -> None:
        self.deployment.update_mapping(Enabled=False)
        self.sender.keys = keys_of([f"tenant-{number}" for number in range(10)])
        store_keys(self.deployment, self.sender.keys)
        event = ("/ingest", '{"tenant_id":"tenant-0","id":"p0","text":"event 0"}', "Content-Type: application/json")
        assert self.sender.request(*event)[0] == 401, "no one may send without a key"
        eventually("the keys are known", lambda: self.sender.request(*event, *self.sender.key("tenant-0"))[0], lambda status: status == 202)
        say("a request without a key: 401")
        self.send("p")

    def send(self, prefix: str) -> None:
        with running([*self.deployment.on_stack(self.tidegate, "mapping"), "--data", self.deployment.folder / "data"], DEADLINE_S):
            self.sender.send(prefix, EVENTS)
            items = self.sender.all_archived().items()
        assert set(items) == {(f"tenants/{tenant}", f"processed_logs/{event}") for tenant, event in self.sender.expected}, "one item for each event"
        say(f"{EVENTS} requests with keys, all 202; {len(items)} events in the archive and in the table, each once")

    def doctor(self, *more: str) -> None:
        found = examine(self.tidegate, self.deployment)
        expected = LEFT_OUT | {"consumer's mapping: State", *more}
        assert found == expected, found ^ expected
        say("Its mapping is replaced, and the emulator ignores the others; nothing else.")

    def own_key_and_vpc(self) -> None:
        """A change: a key of the operator's encrypts what is stored, and the functions are in a VPC without a way to the internet."""
        url, outputs = self.deployment.url, self.deployment.outputs
        ec2 = client("ec2", url)
        key = client("kms", url).create_key()["KeyMetadata"]["Arn"]
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in range(2)]
        routes = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        settings = [f"keyArn={key}", f"vpc={vpc}", f"subnets={','.join(subnets)}", f"routeTables={routes}"]
        status = self.deployment.deploy(self.functions, self.configuration, *settings)
        say(f"{self.deployment.name}: {status}, {len(self.deployment.resources())} resources, with {' '.join(settings)}")
        endpoints = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
        services = sorted(endpoint["ServiceName"].rpartition(".")[2] for endpoint in endpoints)
        assert services == ["dynamodb", "kinesis-streams", "s3", "secretsmanager", "sqs"], services
        queue = client("sqs", url).get_queue_attributes(QueueUrl=outputs["SpillQueue"], AttributeNames=["KmsMasterKeyId"])["Attributes"]
        secret = client("secretsmanager", url).describe_secret(SecretId=outputs["CredentialsSecret"])
        assert (queue.get("KmsMasterKeyId"), secret.get("KmsKeyId")) == (key, key), (queue, secret.get("KmsKeyId"))
        say(f"the VPC has endpoints for {', '.join(services)}; the key encrypts spill queue and secret")
        self.send("q")

    def destroy(self) -> None:
        """Who means it takes the protection away first (docs/teardown.md). The data stays even so."""
        outputs, url = self.deployment.outputs, self.deployment.url
        for what, delete in {
            "the stack": lambda: self.deployment.cloudformation.delete_stack(StackName=self.deployment.name),
            "the items table": lambda: client("dynamodb", url).delete_table(TableName=outputs["ItemsTable"]),
        }.items():
            say(f"{what} cannot be deleted: {refused(delete)}")
        self.deployment.cloudformation.update_termination_protection(StackName=self.deployment.name, EnableTerminationProtection=False)
        self.deployment.destroy(self.configuration)
        assert client("lambda", url).list_functions()["Functions"] == [], "no function is left"
        stay = {
            "stream": outputs["Stream"] in client("kinesis", url).list_streams()["StreamNames"],
            "spill queue": outputs["SpillQueue"].rpartition("/")[2] in str(client("sqs", url).list_queues().get("QueueUrls")),
            "items": len(self.deployment.stored().items()) == len(self.sender.expected),
            "archive": set(self.deployment.stored().archived()) == self.sender.expected,
            "ledger": self.table("LedgerTable")["TableStatus"] == "ACTIVE",
            "credentials": "ARN" in client("secretsmanager", url).describe_secret(SecretId=outputs["CredentialsSecret"]),
        }
        assert all(stay.values()), stay
        say(f"after `cdk destroy` these stay: {', '.join(stay)}")


def defaults() -> dict[str, str]:
    """Of each setting, as docs/settings.md has them. A test holds the page and the code together."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| `([^`|]*)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    return dict(rows)


def one(values: set):
    """The value, which is the same everywhere."""
    (value,) = values
    return value


def refused(call) -> str:
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Message"]
    raise AssertionError("it was deleted")
