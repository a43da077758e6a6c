import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import {
  type DlqDestinationConfig,
  EventSourceMapping,
  type IEventSourceDlq,
  type IEventSourceMapping,
  type IFunction,
  MetricType,
  StartingPosition,
} from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { ConsumerConfig } from '../config';
import { MINUTE } from '../metrics';
import { CONSUMER_TIMEOUT, MAPPING } from '../settings';
import { type ArchiveBucket, PREFIXES } from './archive-bucket';
import type { EventStream } from './event-stream';
import type { ItemsTable } from './items-table';
import type { LedgerTable } from './ledger-table';
import { type Platform, RustFunction } from './rust-function';

export interface ConsumerProps extends ConsumerConfig {
  readonly platform: Platform;
  readonly stream: EventStream;
  readonly archive: ArchiveBucket;
  readonly items: ItemsTable;
  readonly ledger: LedgerTable;
}

/** The stream side: the consumer function, and the event source mapping that feeds it. */
export class Consumer extends Construct {
  readonly rust: RustFunction;
  readonly mapping: EventSourceMapping;

  constructor(scope: Construct, id: string, props: ConsumerProps) {
    super(scope, id);
    this.rust = new RustFunction(this, 'Consumer', {
      ...props.platform,
      binary: 'consumer-fn',
      description: 'Transforms events and stores them: items, archive, quarantine.',
      // One whole processor: compression is most of the work, and a run is to end within half a second.
      memoryMb: props.memoryMb,
      timeout: CONSUMER_TIMEOUT,
      tracing: props.tracing,
      logsInvocations: true,
      environment: {
        TIDEGATE_ITEMS_TABLE: props.items.table.tableName,
        TIDEGATE_LEDGER_TABLE: props.ledger.table.tableName,
        TIDEGATE_BUCKET: props.archive.bucket.bucketName,
      },
    });
    props.items.grantInsert(this.rust.function);
    props.ledger.grantCommit(this.rust.function);
    const { events, errors, texts, payloads, manifests } = PREFIXES;
    props.archive.grantPut(this.rust.function, events, errors, texts, payloads, manifests);
    props.archive.grantGet(this.rust.function, events, texts, payloads, manifests);
    props.archive.grantList(this.rust.function);
    const canRead = props.stream.grantRead(this.rust.function);

    this.mapping = new EventSourceMapping(this, 'Mapping', {
      target: this.rust.function,
      eventSourceArn: props.stream.stream.streamArn,
      // From the oldest record on: a mapping that is made anew must not skip what waits.
      startingPosition: StartingPosition.TRIM_HORIZON,
      batchSize: MAPPING.batchSize,
      maxBatchingWindow: MAPPING.window,
      parallelizationFactor: MAPPING.parallelizationFactor,
      bisectBatchOnError: true,
      reportBatchItemFailures: true,
      retryAttempts: MAPPING.retryAttempts,
      maxRecordAge: MAPPING.maxRecordAge,
      onFailure: new FailedBatches(props.archive),
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
    // Lambda refuses a mapping whose role cannot read the stream yet.
    canRead.applyBefore(this.mapping);
  }

  /** How old the oldest record is that the consumer has just been given. */
  metricIteratorAge(): Metric {
    return this.rust.function.metric('IteratorAge', { statistic: Stats.MAXIMUM });
  }

  /** Records given up on, and kept under `aws/lambda/`. */
  metricFailedRecords(): Metric {
    return this.mappingMetric('OnFailureDestinationDeliveredEventCount');
  }

  /** Records given up on, and lost. */
  metricDroppedRecords(): Metric {
    return this.mappingMetric('DroppedEventCount');
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

/** Failed batches with their payload, on S3. CDK's own destination would let the function write the whole bucket. */
class FailedBatches implements IEventSourceDlq {
  constructor(private readonly archive: ArchiveBucket) {}

  bind(_mapping: IEventSourceMapping, target: IFunction): DlqDestinationConfig {
    this.archive.grantPut(target, PREFIXES.failed);
    this.archive.grantList(target);
    return { destination: this.archive.bucket.bucketArn };
  }
}
