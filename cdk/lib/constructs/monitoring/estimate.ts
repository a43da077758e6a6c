import { Duration } from 'aws-cdk-lib';
import { MathExpression, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { metricCount, S3_WRITES } from '../../metrics';
import { HOURS_A_MONTH, PRICES, WATCHED } from '../../prices';
import type { DashboardSources } from './sources';

const GB = 1024 ** 3;

/** Dollars an hour from metered usage at list prices. Storage, logs and traces are not in it: see `docs/cost.md`. */
export function estimatedCost(sources: DashboardSources): MathExpression {
  const { ingest, stream, consumer, items, ledger, spill, streamConfig } = sources;
  const { lambda, kinesis, dynamodb, s3, cloudwatch } = PRICES;
  const period = Duration.hours(1);
  // Provisioned units are paid by the hour, used or not.
  const itemWrites: Record<string, Metric> = {
    ...(items.isProvisioned ? items.metricProvisioned() : items.metricWriteUnits()),
  };
  const itemWrite = items.isProvisioned ? dynamodb.writeUnitHour : dynamodb.writeUnit;
  const { ofTable, ofIndex } = items.metricProvisionedReads();
  const itemReads: Record<string, Metric> = items.isProvisioned
    ? { readsOfTable: ofTable, ...(ofIndex && { readsOfIndex: ofIndex }) }
    : {};
  const metered: Record<string, Metric> = {
    requests: ingest.metricInvocations(),
    ingest: ingest.rust.metricDuration(Stats.SUM),
    consumer: consumer.rust.metricDuration(Stats.SUM),
    drain: spill.drain.metricDuration(Stats.SUM),
    ...itemWrites,
    ...itemReads,
    ofLedger: ledger.metricWriteUnits(),
    ...Object.fromEntries(S3_WRITES.map((name) => [writes(name), sources.metrics.metric(name, Stats.SUM)])),
    bytes: stream.metricIncomingBytes(),
  };
  // In metric math a sum with a missing value is missing. So a metric without a value counts as 0.
  const of = (name: string, dollars: number) => `FILL(${name}, 0) * ${plain(dollars)}`;
  const terms = [
    of('requests', lambda.request),
    of('ingest', (ingest.rust.gigabytes * lambda.gbSecond) / 1000),
    of('consumer', (consumer.rust.gigabytes * lambda.gbSecond) / 1000),
    of('drain', (spill.drain.gigabytes * lambda.gbSecond) / 1000),
    ...Object.keys(itemWrites).map((name) => of(name, itemWrite)),
    ...Object.keys(itemReads).map((name) => of(name, dynamodb.readUnitHour)),
    of('ofLedger', dynamodb.writeUnit),
    ...S3_WRITES.map((name) => of(writes(name), s3.put)),
  ];
  let standing = cloudwatch.dashboardMonth + metricCount(sources.dispatch !== undefined) * cloudwatch.metricMonth;
  standing += (WATCHED.alarmMetrics + items.scalingAlarms) * cloudwatch.alarmMonth;
  if (streamConfig?.mode === StreamMode.PROVISIONED) {
    metered.records = stream.metricIncomingRecords();
    // A record is charged for each 25 KB that it begins: at most one unit more than its bytes.
    terms.push(of('records', kinesis.putUnit), of('bytes', kinesis.putUnit / kinesis.putUnitBytes));
    standing += (streamConfig.shards ?? 1) * kinesis.shardHour * HOURS_A_MONTH;
  } else if (streamConfig !== undefined) {
    metered.read = stream.metricReadBytes();
    terms.push(of('bytes', kinesis.onDemandGbIn / GB), of('read', kinesis.onDemandGbOut / GB));
    standing += kinesis.onDemandStreamHour * HOURS_A_MONTH;
  }
  return new MathExpression({
    label: 'dollars an hour',
    period,
    expression: [...terms, plain(standing / HOURS_A_MONTH)].join(' + '),
    usingMetrics: Object.fromEntries(Object.entries(metered).map(([name, metric]) => [name, metric.with({ period })])),
  });
}

/** The id of a metric in the expression: it must begin with a small letter. */
function writes(name: string): string {
  return `m${name}`;
}

/** A number without an exponent: metric math would read an exponent as a name. */
function plain(dollars: number): string {
  return dollars.toFixed(18).replace(/0+$/, '');
}
