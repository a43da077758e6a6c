import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { type Alarm, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { AccountPrincipal, ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
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

/** What a producer calls. The Kinesis Producer Library lists the shards and aggregates records for each of them. */
const PRODUCE = ['kinesis:PutRecord', 'kinesis:PutRecords', 'kinesis:DescribeStreamSummary', 'kinesis:ListShards'];

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
        new PolicyStatement({ actions: PRODUCE, resources: [this.stream.streamArn] }),
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

  private make({ stream: config, retentionHours, protectData, key }: EventStreamProps): Stream {
    const { mode, shards, producerAccounts = [] } = config;
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
    if (producerAccounts.length > 0) share(stream, producerAccounts, key);
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

/**
 * Lets other accounts put records. Each of them decides which of its principals may. The policy of a key that the app makes gets what
 * they need of it; of a key that is only named, its owner adds it (docs/settings.md#producers-of-another-account).
 */
function share(stream: Stream, producerAccounts: readonly string[], key: IKey | undefined): void {
  if (key === undefined) {
    throw new Error(
      'producerAccounts is set, but no key of yours encrypts the stream: other accounts cannot use the key of AWS: set keyArn, or encryptionKey',
    );
  }
  const principals = producerAccounts.map((account) => new AccountPrincipal(account));
  stream.addToResourcePolicy(
    new PolicyStatement({
      sid: 'ProducersOfOtherAccounts',
      principals,
      actions: PRODUCE,
      resources: [stream.streamArn],
    }),
  );
  const { region } = Stack.of(stream);
  key.addToResourcePolicy(
    new PolicyStatement({
      sid: 'ProducersOfOtherAccounts',
      principals,
      actions: ['kms:GenerateDataKey'],
      resources: ['*'],
      conditions: { StringEquals: { 'kms:ViaService': `kinesis.${region}.amazonaws.com` } },
    }),
  );
}
