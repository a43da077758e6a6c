"""The OpenTelemetry SDK for Python, which exports logs by OTLP over HTTP: answers are lost, and the local run is killed."""

import logging
import time
import urllib.request

import requests
from local_run import LocalRun
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from stored import DEADLINE_S, stored

RECORDS = 10_000
TENANT = "otel"


class LossySession(requests.Session):
    """Loses every third answer. The records were accepted, and the exporter sends them again."""

    answers = 0

    def request(self, *arguments, **named) -> requests.Response:
        answer = super().request(*arguments, **named)
        self.answers += 1
        if self.answers % 3 == 0:
            raise requests.exceptions.ConnectionError("the answer was lost")
        return answer


def send(run: LocalRun) -> tuple[int, str]:
    # It warns of each attempt that fails.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    # The SDK drops what it cannot send within this time-out, which is for all attempts, and what does not fit its queue.
    exporter = OTLPLogExporter(
        f"http://{run.address}/v1/logs",
        headers={"X-Tenant-ID": TENANT},
        compression=Compression.Gzip,
        timeout=DEADLINE_S,
        session=LossySession(),
    )
    provider = LoggerProvider(resource=Resource.create({"service.name": "clients"}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=RECORDS, schedule_delay_millis=100))
    logger = provider.get_logger("clients")

    def log(numbers: range) -> None:
        for number in numbers:
            body = f"record {number}, ünï ☂"
            logger.emit(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body=body, attributes={"number": number})

    log(range(RECORDS // 2))
    until = time.monotonic() + DEADLINE_S
    while (accepted := accepted_events(run)) < RECORDS // 4 and time.monotonic() < until:
        time.sleep(0.001)
    run.kill()
    log(range(RECORDS // 2, RECORDS))
    run.start()
    assert provider.force_flush(DEADLINE_S * 1000), "the exporter did not finish"
    provider.shutdown()
    lines = stored(run, TENANT, RECORDS)
    assert {line["text"] for line in lines} == {f"record {number}, ünï ☂" for number in range(RECORDS)}
    return RECORDS, f"{RECORDS} log records; answers were lost, and the local run was killed after {accepted} and started again"


def accepted_events(run: LocalRun) -> int:
    # Without a proxy of the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{run.address}/metrics") as response:
        lines = response.read().decode().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("tidegate_events_accepted_total ")), 0)
