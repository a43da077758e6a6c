import { Duration } from 'aws-cdk-lib';
import { type Alarm, type IMetric, MathExpression, Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { EventSourceMapping, MetricType, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Config } from '../config';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';
import { FRESHNESS, type Settings } from '../settings';
import { alarm, ONCE } from './alarm';
import type { ArchiveBucket } from './archive-bucket';
import type { Dispatch } from './dispatch';
import type { EventStream } from './event-stream';
import type { ItemsTable } from './items-table';
import type { LedgerTable } from './ledger-table';
import type { Network } from './network';
import { type Platform, RustFunction } from './rust-function';

type ConsumerConfig = Config['consumer'];

export interface ConsumerProps extends ConsumerConfig {
  readonly platform: Platform;
  /** That its function runs in. */
  readonly network?: Network;
  readonly settings: Settings;
  /** How long a record that fails is retried. */
  readonly recordAgeHours: number;
  readonly stream: EventStream;
  readonly archive: ArchiveBucket;
  readonly items: ItemsTable;
  readonly ledger: LedgerTable;
  /** `undefined` where dispatch is off. */
  readonly dispatch?: Dispatch;
}

const { mapping, alarms } = CONTRACT;

/** Long enough that a stream with a record in each of them counts as one that gets records. */
const UNREAD = Duration.minutes(5);

/** The consumer function and the event source mapping that feeds it. */
export class Consumer extends Construct {
  readonly rust: RustFunction;
  readonly mapping: EventSourceMapping;
  readonly timeout: Duration;
  /** From received to archived, for 99 of 100 events. Simulated work and a longer window come on top of the promise. */
  readonly freshness: Duration;
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: ConsumerProps) {
    super(scope, id);
    const { consumerTimeout, later, window } = props.settings;
    this.timeout = consumerTimeout;
    this.freshness = FRESHNESS.plus(later);
    const lag = Duration.seconds(alarms.lagSeconds).plus(later);
    this.rust = new RustFunction(this, 'Consumer', {
      ...props.platform,
      name: 'consumer',
      description: 'Transforms events and stores them: items, archive, quarantine.',
      memoryMb: props.memoryMb,
      timeout: this.timeout,
      tracing: props.tracing,
      network: props.network,
      logsInvocations: true,
      resources: {
        stream: props.stream.stream,
        items: props.items.table,
        ledger: props.ledger.table,
        bucket: props.archive.bucket,
        dispatchQueue: props.dispatch?.queue,
      },
      more: props.dispatch === undefined ? [] : [CONTRACT.dispatch.ofConsumer],
    });

    this.mapping = new EventSourceMapping(this, 'Mapping', {
      target: this.rust.function,
      eventSourceArn: props.stream.stream.streamArn,
      // A new mapping must not skip records that are waiting: TRIM_HORIZON.
      startingPosition: StartingPosition[mapping.startingPosition as keyof typeof StartingPosition],
      batchSize: mapping.batchSize,
      maxBatchingWindow: window,
      // More would interleave sequence numbers within a shard. The ledger could not record how far it got.
      parallelizationFactor: 1,
      bisectBatchOnError: mapping.bisectOnError,
      reportBatchItemFailures: mapping.reportFailures,
      retryAttempts: mapping.retryAttempts,
      maxRecordAge: Duration.hours(props.recordAgeHours),
      // A bucket keeps the records themselves; a queue would get their sequence numbers only. CDK's own S3 destination would
      // let the function write to the whole bucket.
      onFailure: { bind: () => ({ destination: props.archive.bucket.bucketArn }) },
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
    // Lambda refuses a mapping while the role cannot read the stream.
    this.mapping.node.addDependency(this.rust.role);

    const unread = Math.ceil(Duration.minutes(alarms.stuckMinutes).plus(later).toSeconds() / UNREAD.toSeconds());
    this.alarms = [
      alarm(this, {
        name: 'stream-unread',
        metric: this.metricUnread(props.stream),
        above: 0,
        // Simulated work may take this much longer before the next batch is invoked.
        minutes: { bad: unread, of: unread },
        meaning: `Records arrive on the stream, and for ${unread * UNREAD.toMinutes()} minutes the consumer was invoked with none.`,
      }),
      alarm(this, {
        name: 'consumer-lag',
        metric: this.metricIteratorAge().with(MINUTE),
        above: lag.toMilliseconds(),
        meaning: `Records wait on the stream for more than ${lag.toSeconds()} seconds. After ${props.recordAgeHours} hours they go to the failure destination.`,
      }),
      alarm(this, {
        name: 'consumer-errors',
        metric: this.rust.metricErrors().with(MINUTE),
        above: 0,
        meaning: 'The consumer crashes or times out. Its batches are halved and retried.',
      }),
      alarm(this, {
        name: 'consumer-throttled',
        metric: this.rust.metricThrottles().with(MINUTE),
        above: 0,
        meaning: 'Lambda refuses to run the consumer: no concurrency is left for it. Records wait on the stream.',
      }),
      alarm(this, {
        name: 'consumer-slow',
        metric: this.rust.metricDuration(Stats.MAXIMUM).with(MINUTE),
        // A fifth before the end, at most 30 s: the longest simulated work leaves a minute of a long time-out, and most
        // batches are stored in a few seconds of it.
        above: Math.max(
          (alarms.slowPercent * this.timeout.toMilliseconds()) / 100,
          this.timeout.toMilliseconds() - Duration.seconds(alarms.slowMarginSeconds).toMilliseconds(),
        ),
        meaning: 'An invocation of the consumer comes close to its time-out.',
      }),
      alarm(this, {
        name: 'freshness',
        metric: props.platform.metrics.metric('Freshness', Stats.percentile(99)),
        above: this.freshness.toMilliseconds(),
        meaning: `Events take longer than ${this.freshness.toSeconds()} seconds from ingest to the archive.`,
      }),
      alarm(this, {
        name: 'quarantine',
        metric: props.platform.metrics.metric('EventsQuarantined', Stats.SUM),
        above: 0,
        minutes: ONCE,
        meaning: 'Records or events were put into quarantine.',
      }),
      alarm(this, {
        name: 'failed-batches',
        metric: this.metricFailedRecords(),
        above: 0,
        minutes: ONCE,
        meaning: `Records failed permanently. They are stored under ${mapping.failurePrefix} and wait to be redriven.`,
      }),
      alarm(this, {
        name: 'dropped-records',
        metric: this.metricDroppedRecords(),
        above: 0,
        minutes: ONCE,
        meaning: 'Records failed permanently and could not be saved. Only the stream still has them.',
      }),
    ];
  }

  /** The age of the oldest record in the consumer's latest batch. */
  metricIteratorAge(): Metric {
    return this.rust.function.metric('IteratorAge', { statistic: Stats.MAXIMUM });
  }

  /** Records that failed permanently and were saved at the failure destination. */
  metricFailedRecords(): Metric {
    return this.mappingMetric('OnFailureDestinationDeliveredEventCount');
  }

  /** Records that failed permanently and were not saved. */
  metricDroppedRecords(): Metric {
    return this.mappingMetric('DroppedEventCount');
  }

  /**
   * 1 in five minutes in which records arrived and none was given to the consumer. Without an invocation there is no iterator age,
   * so no other alarm notices. The mapping's metric comes first: emulators, which evaluate that one alone, have none of it.
   */
  private metricUnread(stream: EventStream): IMetric {
    return new MathExpression({
      expression: 'IF(FILL(arrived, 0) > 0 AND FILL(invoked, 0) < 1, 1, 0)',
      usingMetrics: { invoked: this.mappingMetric('InvokedEventCount'), arrived: stream.metricIncomingRecords() },
      period: UNREAD,
    });
  }

  private mappingMetric(metricName: string): Metric {
    return new Metric({
      namespace: 'AWS/Lambda',
      metricName,
      dimensionsMap: { EventSourceMappingUUID: this.mapping.eventSourceMappingId },
      statistic: Stats.SUM,
      ...MINUTE,
    });
  }
}
