"""The resources of functions that run by `cargo lambda watch`, created by SDK calls: no deployment, no Lambda."""

from emulator import REGION, client
from stored import Stored

STREAM, BUCKET, TABLE, LEDGER = "tidegate", "tidegate-data", "tidegate-items", "tidegate-ledger"


class Stack(Stored):
    """A stream, a queue, a bucket and two tables."""

    def __init__(self, url: str) -> None:
        super().__init__(url, BUCKET, TABLE, LEDGER)
        self.spill_queue = client("sqs", url).create_queue(QueueName="tidegate-spill")["QueueUrl"]
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for table in (TABLE, LEDGER):
            self.dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
        kinesis = client("kinesis", url)
        kinesis.create_stream(StreamName=STREAM, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})

    def variables(self) -> dict[str, str]:
        """The environment variables that name the resources."""
        return {
            "TIDEGATE_STREAM": STREAM,
            "TIDEGATE_BUCKET": BUCKET,
            "TIDEGATE_ITEMS_TABLE": TABLE,
            "TIDEGATE_LEDGER_TABLE": LEDGER,
            "TIDEGATE_SPILL_QUEUE": self.spill_queue,
        }
