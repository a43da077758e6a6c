import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  MathExpression,
  Metric,
  PeriodOverride,
  Stats,
  TextWidget,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { StreamConfig } from '../config';
import { HOURS_A_MONTH, PRICES } from '../prices';
import { CONSUMER_TIMEOUT, FRESHNESS, type Settings } from '../settings';
import type { Consumer } from './consumer';
import type { EventStream } from './event-stream';
import type { IngestApi } from './ingest-api';
import type { ItemsTable } from './items-table';
import type { SpillQueue } from './spill-queue';

/** The namespace of the functions' own metrics (`shared/src/metric.rs`). They have no dimensions: one stage an account. */
export const NAMESPACE = 'Tidegate';

export interface MonitoringProps {
  readonly stage: string;
  readonly settings: Settings;
  readonly streamConfig: StreamConfig;
  readonly ingest: IngestApi;
  readonly stream: EventStream;
  readonly consumer: Consumer;
  readonly items: ItemsTable;
  readonly spill: SpillQueue;
  readonly alarmEmail?: string;
}

interface AlarmRule {
  /** Its runbook is `docs/runbooks/{name}.md`. */
  readonly name: string;
  readonly metric: IMetric;
  readonly above: number;
  /** What is wrong, and what it means to whom. */
  readonly meaning: string;
}

/** What an operator looks at, and what wakes one up. */
export class Monitoring extends Construct {
  readonly topic: Topic;
  readonly dashboard: Dashboard;
  readonly alarms: Alarm[];

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    this.topic = new Topic(this, 'Alarms', { displayName: `Tidegate ${props.stage}`, enforceSSL: true });
    if (props.alarmEmail !== undefined) this.topic.addSubscription(new EmailSubscription(props.alarmEmail));

    const notify = new SnsAction(this.topic);
    this.alarms = rules(props).map((rule) => {
      const alarm = new Alarm(this, rule.name, {
        metric: rule.metric,
        threshold: rule.above,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: 3,
        datapointsToAlarm: 2,
        treatMissingData: TreatMissingData.NOT_BREACHING,
        alarmDescription: `${rule.meaning} Runbook: docs/runbooks/${rule.name}.md`,
      });
      alarm.addAlarmAction(notify);
      return alarm;
    });
    props.ingest.errorAlarm.addAlarmAction(notify);
    this.alarms.push(props.ingest.errorAlarm);

    this.dashboard = new Dashboard(this, 'Dashboard', {
      dashboardName: Stack.of(this).stackName,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.INHERIT,
      widgets: widgets(props),
    });
  }
}

/** One of the functions' own metrics. */
export function tidegateMetric(metricName: string, statistic: string, label?: string): Metric {
  return new Metric({ namespace: NAMESPACE, metricName, statistic, label, period: Duration.minutes(1) });
}

function rules({ settings, ingest, stream, consumer, items, spill }: MonitoringProps): AlarmRule[] {
  const minute = { period: Duration.minutes(1) };
  return [
    {
      name: 'door-unavailable',
      metric: ingest.metricServerErrors().with(minute),
      above: 0,
      meaning: 'Clients are answered 5xx: neither the stream nor the spill queue takes events.',
    },
    {
      name: 'door-throttled',
      metric: ingest.rust.metricThrottles().with(minute),
      above: 0,
      meaning: 'Clients are answered 429: the door is at its concurrency limit.',
    },
    {
      name: 'publish-latency',
      metric: tidegateMetric('PublishLatency', Stats.percentile(99)),
      above: settings.publishBudget.toMilliseconds(),
      meaning: 'The stream takes longer than the budget for publishing; events go by the spill queue.',
    },
    {
      name: 'stream-full',
      metric: stream.metricThrottledRecords().with(minute),
      above: 0,
      meaning: 'A shard refuses records: it is full, or one tenant outgrew it.',
    },
    {
      name: 'consumer-behind',
      metric: consumer.metricIteratorAge().with(minute),
      above: Duration.minutes(1).toMilliseconds(),
      meaning: 'The consumer is more than a minute behind the stream. Records are given up after six hours.',
    },
    {
      name: 'consumer-errors',
      metric: consumer.rust.metricErrors().with(minute),
      above: 0,
      meaning: 'The consumer fails, by a crash or its time-out; batches are bisected and tried again.',
    },
    {
      name: 'consumer-slow',
      metric: consumer.rust.metricDuration(Stats.MAXIMUM).with(minute),
      above: 0.8 * CONSUMER_TIMEOUT.toMilliseconds(),
      meaning: 'A run of the consumer comes near its time-out.',
    },
    {
      name: 'freshness',
      metric: tidegateMetric('Freshness', Stats.percentile(99)),
      above: FRESHNESS.toMilliseconds(),
      meaning: 'Events take longer than five seconds from the door to the archive.',
    },
    {
      name: 'quarantine',
      metric: tidegateMetric('EventsQuarantined', Stats.SUM),
      above: 0,
      meaning: 'Records or events were put into quarantine.',
    },
    {
      name: 'failed-batches',
      metric: consumer.metricFailedRecords(),
      above: 0,
      meaning: 'Records failed for good and lie under aws/lambda/ until they are redriven.',
    },
    {
      name: 'dropped-records',
      metric: consumer.metricDroppedRecords(),
      above: 0,
      meaning: 'Records were given up on and are not kept anywhere but on the stream.',
    },
    {
      name: 'items-throttled',
      metric: items.metricThrottledRequests().with({ ...minute, statistic: Stats.SUM }),
      above: 0,
      meaning: 'DynamoDB throttles inserts; the consumer retries and falls behind.',
    },
    {
      name: 'spill-stuck',
      metric: spill.queue.metricApproximateAgeOfOldestMessage({ statistic: Stats.MAXIMUM, ...minute }),
      above: Duration.minutes(15).toSeconds(),
      meaning: 'Spilled events wait for more than a quarter of an hour to reach the stream.',
    },
    {
      name: 'spill-dead-letters',
      metric: spill.deadLetters.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, ...minute }),
      above: 0,
      meaning: 'Spilled events could not be brought to the stream and are dead letters now.',
    },
  ];
}

function widgets(props: MonitoringProps) {
  const { settings, ingest, stream, consumer, items, spill } = props;
  const sum = (name: string) => tidegateMetric(name, Stats.SUM);
  const rate = (name: string, label: string) => {
    // Every metric of a graph has an id of its own, beginning with a small letter.
    const id = `m${name}`;
    const usingMetrics = { [id]: sum(name) };
    return new MathExpression({
      expression: `${id} / PERIOD(${id})`,
      usingMetrics,
      label,
      period: Duration.minutes(1),
    });
  };
  const graph = (title: string, left: IMetric[], more: object = {}) =>
    new GraphWidget({ title, left, width: 8, height: 6, ...more });
  const line = (value: number, label: string) => ({ leftAnnotations: [{ value, label, color: '#d62728' }] });
  const heading = (markdown: string) => new TextWidget({ markdown, width: 24, height: 1 });

  return [
    [heading('## Door')],
    [
      graph('Requests a second', [
        rate('RequestsReceived', 'received'),
        rate('RequestsFiltered', 'filtered by tier'),
        rate('EventsRejected', 'events rejected'),
      ]),
      graph('Events a second', [rate('EventsAccepted', 'accepted'), rate('EventsSpilled', 'spilled')], {
        right: [rate('BytesAccepted', 'bytes a second')],
      }),
      graph(
        'Ingest: errors, throttles',
        [
          ingest.rust.metricErrors(),
          ingest.rust.metricThrottles(),
          ingest.metricServerErrors(),
          ingest.metricClientErrors(),
        ],
        { right: [ingest.rust.metricConcurrency()] },
      ),
    ],
    [
      graph('Ingest: duration (ms)', [
        ingest.rust.metricDuration(Stats.p(50)),
        ingest.rust.metricDuration(Stats.p(99)),
      ]),
      graph(
        'Publish: as the door sees it (ms)',
        [tidegateMetric('PublishLatency', Stats.p(50), 'p50'), tidegateMetric('PublishLatency', Stats.p(99), 'p99')],
        { right: [sum('PublishRetries')], ...line(settings.publishBudget.toMilliseconds(), 'budget') },
      ),
      graph(
        'Stream: PutRecords (ms), throttled records',
        [stream.metricPutRecordsLatency('Average'), stream.metricPutRecordsLatency('Maximum')],
        { right: [stream.metricThrottledRecords(), stream.metricIncomingRecords()] },
      ),
    ],
    [heading('## Store')],
    [
      graph(
        'Freshness: door to archive (ms)',
        [tidegateMetric('Freshness', Stats.p(50), 'p50'), tidegateMetric('Freshness', Stats.p(99), 'p99')],
        line(FRESHNESS.toMilliseconds(), 'promised'),
      ),
      graph('Outcomes', [
        sum('EventsStored'),
        sum('EventsDeduplicated'),
        sum('EventsRedelivered'),
        sum('EventsQuarantined'),
        consumer.metricFailedRecords(),
      ]),
      graph('Iterator age (ms)', [consumer.metricIteratorAge()]),
    ],
    [
      graph('Events in a batch', [
        tidegateMetric('BatchEvents', Stats.p(50), 'p50'),
        tidegateMetric('BatchEvents', Stats.MAXIMUM, 'largest'),
      ]),
      graph('Archive objects a second', [rate('ObjectsWritten', 'objects')], {
        right: [tidegateMetric('ObjectBytes', Stats.AVERAGE, 'bytes an object')],
      }),
      graph('Items', [items.metricConsumedWriteUnits(), items.metricThrottledRequests()]),
    ],
    [
      graph(
        'Consumer: duration (ms)',
        [consumer.rust.metricDuration(Stats.p(50)), consumer.rust.metricDuration(Stats.MAXIMUM)],
        line(CONSUMER_TIMEOUT.toMilliseconds(), 'time-out'),
      ),
      graph('Consumer: errors, throttles', [consumer.rust.metricErrors(), consumer.rust.metricThrottles()], {
        right: [consumer.rust.metricConcurrency()],
      }),
      graph(
        'Spill: messages waiting, dead letters',
        [
          spill.queue.metricApproximateNumberOfMessagesVisible(),
          spill.deadLetters.metricApproximateNumberOfMessagesVisible(),
        ],
        { right: [spill.queue.metricApproximateAgeOfOldestMessage()] },
      ),
    ],
    [heading('## Cost')],
    [graph('Estimated dollars an hour', [estimatedCost(props)], { width: 24 })],
  ];
}

/** Dollars an hour by what was metered: list prices, without storage, logs and traces. `docs/cost.md` has the rest. */
function estimatedCost({ ingest, stream, consumer, items, streamConfig }: MonitoringProps): MathExpression {
  const { lambda, kinesis, dynamodb, s3, cloudwatch } = PRICES;
  const period = Duration.hours(1);
  const shards =
    streamConfig.mode === 'provisioned' ? streamConfig.shards * kinesis.shardHour : kinesis.onDemandStreamHour;
  const metrics = (17 * cloudwatch.metricMonth) / HOURS_A_MONTH;
  const terms = [
    `requests * ${plain(lambda.request)}`,
    `ingest / 1000 * ${plain(ingest.rust.gigabytes * lambda.gbSecond)}`,
    `consumer / 1000 * ${plain(consumer.rust.gigabytes * lambda.gbSecond)}`,
    `records * ${plain(kinesis.putUnit)}`,
    `writes * ${plain(dynamodb.writeUnit)}`,
    `objects * ${plain(s3.put)}`,
    plain(shards + metrics),
  ];
  return new MathExpression({
    label: 'dollars an hour',
    period,
    expression: terms.join(' + '),
    usingMetrics: {
      requests: ingest.metricInvocations().with({ period }),
      ingest: ingest.rust.metricDuration(Stats.SUM).with({ period }),
      consumer: consumer.rust.metricDuration(Stats.SUM).with({ period }),
      records: stream.metricIncomingRecords().with({ period }),
      writes: items.metricConsumedWriteUnits().with({ period }),
      objects: tidegateMetric('ObjectsWritten', Stats.SUM).with({ period }),
    },
  });
}

/** A number without an exponent, which metric math would take for a name. */
function plain(dollars: number): string {
  return dollars.toFixed(12).replace(/0+$/, '');
}
