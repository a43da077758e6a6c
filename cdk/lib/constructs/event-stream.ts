import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { type Alarm, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { type IStream, Stream, StreamEncryption, StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { Construct } from 'constructs';
import type { Config } from '../config';
import { MINUTE } from '../metrics';
import { alarm } from './alarm';
import { usesKey } from './resources';

export interface EventStreamProps {
  readonly stream: Config['stream'];
  readonly retentionHours: number;
  readonly protectData: boolean;
  /** Encrypts the records. Without it a key of AWS does. */
  readonly key?: IKey;
  /** Used instead of an own one, and not changed. */
  readonly existing?: IStream;
}

/** The stream between ingest and the consumer, in order by partition key. */
export class EventStream extends Construct {
  readonly stream: IStream;
  /** For foreign producers: attach it to their role. */
  readonly producerPolicy: ManagedPolicy;
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: EventStreamProps) {
    super(scope, id);
    this.stream = props.existing ?? this.make(props);
    const { encryptionKey } = this.stream;
    this.producerPolicy = new ManagedPolicy(this, 'ProducerPolicy', {
      description: 'Puts records on the Tidegate stream, by PutRecords or the Kinesis Producer Library.',
      statements: [
        new PolicyStatement({
          // The library lists the shards and aggregates records for each of them.
          actions: ['kinesis:PutRecord', 'kinesis:PutRecords', 'kinesis:DescribeStreamSummary', 'kinesis:ListShards'],
          resources: [this.stream.streamArn],
        }),
        ...(encryptionKey === undefined ? [] : [usesKey(encryptionKey)]),
      ],
    });
    this.alarms = [
      alarm(this, {
        name: 'stream-full',
        metric: this.metricThrottledRecords().with(MINUTE),
        above: 0,
        meaning: 'A shard refuses records: it is full, or one tenant sends more than a shard takes.',
      }),
    ];
  }

  private make({ stream: { mode, shards }, retentionHours, protectData, key }: EventStreamProps): Stream {
    const stream = new Stream(this, 'Stream', {
      streamMode: mode,
      shardCount: mode === StreamMode.PROVISIONED ? shards : undefined,
      retentionPeriod: Duration.hours(retentionHours),
      ...(key === undefined
        ? { encryption: StreamEncryption.MANAGED }
        : { encryption: StreamEncryption.KMS, encryptionKey: key }),
      removalPolicy: protectData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
    });
    if (key !== undefined) {
      Validations.of(stream).acknowledge({ id: 'AwsSolutions-KDS3', reason: 'A key of the operator was asked for.' });
    }
    return stream;
  }

  metricPutRecordsLatency(statistic: string): Metric {
    return this.stream.metricPutRecordsLatency({ statistic });
  }

  /** Records that a full shard refused. */
  metricThrottledRecords(): Metric {
    return this.stream.metricPutRecordsThrottledRecords({ statistic: Stats.SUM });
  }

  metricIncomingRecords(): Metric {
    return this.stream.metricIncomingRecords({ statistic: Stats.SUM });
  }

  metricReadBytes(): Metric {
    return this.stream.metricGetRecordsBytes({ statistic: Stats.SUM });
  }

  metricIncomingBytes(): Metric {
    return this.stream.metricIncomingBytes({ statistic: Stats.SUM });
  }
}
