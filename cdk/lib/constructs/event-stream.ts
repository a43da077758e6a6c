import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { Grant, type IGrantable, ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Stream, StreamEncryption, StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { Construct } from 'constructs';
import type { StreamConfig } from '../config';
import { STREAM_RETENTION } from '../settings';

export interface EventStreamProps {
  readonly stream: StreamConfig;
  readonly retention?: Duration;
  readonly protectData: boolean;
}

/** The stream between the door and the consumer, in order by partition key. */
export class EventStream extends Construct {
  readonly stream: Stream;
  /** For producers that are not the door: attach it to their role. */
  readonly producerPolicy: ManagedPolicy;

  constructor(scope: Construct, id: string, props: EventStreamProps) {
    super(scope, id);
    const capacity =
      props.stream.mode === 'provisioned'
        ? { streamMode: StreamMode.PROVISIONED, shardCount: props.stream.shards }
        : { streamMode: StreamMode.ON_DEMAND };
    this.stream = new Stream(this, 'Stream', {
      ...capacity,
      retentionPeriod: props.retention ?? STREAM_RETENTION,
      encryption: StreamEncryption.MANAGED,
      removalPolicy: props.protectData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    this.producerPolicy = new ManagedPolicy(this, 'ProducerPolicy', {
      description: 'Puts records on the Tidegate stream, by PutRecords or the Kinesis Producer Library.',
      statements: [
        new PolicyStatement({
          // The library asks for the shards to aggregate records for them.
          actions: ['kinesis:PutRecord', 'kinesis:PutRecords', 'kinesis:DescribeStreamSummary', 'kinesis:ListShards'],
          resources: [this.stream.streamArn],
        }),
      ],
    });
  }

  /** Lets `grantee` put records, and nothing else. */
  grantPut(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['kinesis:PutRecords'], resources: [this.stream.streamArn] }),
    );
  }

  /** Lets `grantee` be fed from the stream by an event source mapping. */
  grantRead(grantee: IGrantable): Grant {
    return Grant.addToPrincipal({
      grantee,
      actions: [
        'kinesis:DescribeStream',
        'kinesis:DescribeStreamSummary',
        'kinesis:GetRecords',
        'kinesis:GetShardIterator',
        'kinesis:ListShards',
      ],
      resourceArns: [this.stream.streamArn],
    });
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
