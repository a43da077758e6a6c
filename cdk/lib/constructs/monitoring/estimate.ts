import { Duration } from 'aws-cdk-lib';
import { MathExpression, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { tidegateMetric } from '../../metrics';
import { HOURS_A_MONTH, PRICES, WATCHED } from '../../prices';
import type { MonitoringProps } from '../monitoring';

const GB = 1024 ** 3;

/** Dollars an hour by what was metered: list prices, without storage, logs and traces. `docs/cost.md` has the rest. */
export function estimatedCost(props: MonitoringProps): MathExpression {
  const { ingest, stream, consumer, items, ledger, spill, streamConfig } = props;
  const { lambda, kinesis, dynamodb, s3, cloudwatch } = PRICES;
  const period = Duration.hours(1);
  const metered: Record<string, Metric> = {
    requests: ingest.metricInvocations(),
    ingest: ingest.rust.metricDuration(Stats.SUM),
    consumer: consumer.rust.metricDuration(Stats.SUM),
    redriver: spill.redriver.metricDuration(Stats.SUM),
    ...items.metricWriteUnits(),
    ofLedger: ledger.metricWriteUnits(),
    objects: tidegateMetric('ObjectsWritten', Stats.SUM),
    bytes: stream.metricIncomingBytes(),
  };
  // An hour in which a metric has no value is not without cost: whatever is added to nothing is nothing.
  const of = (name: string, dollars: number) => `FILL(${name}, 0) * ${plain(dollars)}`;
  const terms = [
    of('requests', lambda.request),
    of('ingest', (ingest.rust.gigabytes * lambda.gbSecond) / 1000),
    of('consumer', (consumer.rust.gigabytes * lambda.gbSecond) / 1000),
    of('redriver', (spill.redriver.gigabytes * lambda.gbSecond) / 1000),
    ...['ofTable', 'ofIndex', 'ofLedger'].map((name) => of(name, dynamodb.writeUnit)),
    of('objects', s3.put),
  ];
  let standing = cloudwatch.dashboardMonth + WATCHED.metrics * cloudwatch.metricMonth;
  standing += WATCHED.alarmMetrics * cloudwatch.alarmMonth;
  if (streamConfig.mode === 'provisioned') {
    metered.records = stream.metricIncomingRecords();
    // A record is charged by each 25 KB that it begins: at most one more than its bytes come to.
    terms.push(of('records', kinesis.putUnit), of('bytes', kinesis.putUnit / kinesis.putUnitBytes));
    standing += streamConfig.shards * kinesis.shardHour * HOURS_A_MONTH;
  } else {
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

/** A number without an exponent, which metric math would take for a name. */
function plain(dollars: number): string {
  return dollars.toFixed(18).replace(/0+$/, '');
}
