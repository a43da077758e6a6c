"""AWS's own package that makes aggregates of the Kinesis Producer Library."""

import json
import sqlite3
import time

from aws_kinesis_agg.aggregator import RecordAggregator
from local_run import LocalRun
from stored import stored

EVENTS = 300


def send(run: LocalRun) -> tuple[int, str]:
    """Puts the same aggregates twice, as a producer does after a time-out."""
    for _ in range(2):
        aggregator = RecordAggregator()
        for number in range(EVENTS):
            event = {"tenant_id": f"kpl-{number % 3}", "id": f"k-{number}", "text": f"event {number}, ünï ☂"}
            # It returns an aggregate that is full.
            if full := aggregator.add_user_record(event["tenant_id"], json.dumps(event, ensure_ascii=False)):
                put(run, full)
        put(run, aggregator.clear_and_get())
    for tenant in range(3):
        stored(run, f"kpl-{tenant}", EVENTS // 3)
    return EVENTS, f"{EVENTS} user records of 3 tenants in aggregates, put twice"


def put(run: LocalRun, aggregate) -> None:
    """Into the local stream, which has no API of Kinesis."""
    partition_key, _explicit_hash_key, data = aggregate.get_contents()
    insert = "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES ('shardId-000000000000', ?, ?, ?)"
    database = sqlite3.connect(run.folder / ".tidegate/tidegate.sqlite", timeout=30)
    with database:
        database.execute(insert, (partition_key, time.time_ns() // 1_000_000, data))
    database.close()
