import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { DEAD_LETTER_RETENTION, SPILL_RETENTION } from '../settings';
import type { EventStream } from './event-stream';
import { type Platform, RustFunction } from './rust-function';

const REDRIVER_TIMEOUT = Duration.seconds(30);

export interface SpillQueueProps {
  readonly protectData: boolean;
  readonly platform: Platform;
  readonly stream: EventStream;
}

/** Where events wait that the stream refused, and the function that brings them to the stream later. */
export class SpillQueue extends Construct {
  readonly queue: Queue;
  readonly deadLetters: Queue;
  readonly redriver: RustFunction;
  /** The redriver's. */
  readonly timeout = REDRIVER_TIMEOUT;

  constructor(scope: Construct, id: string, props: SpillQueueProps) {
    super(scope, id);
    const removalPolicy = props.protectData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    this.deadLetters = new Queue(this, 'DeadLetters', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: DEAD_LETTER_RETENTION,
      maxMessageSizeBytes: MESSAGE_BYTES,
      removalPolicy,
    });
    this.queue = new Queue(this, 'Queue', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: SPILL_RETENTION,
      maxMessageSizeBytes: MESSAGE_BYTES,
      removalPolicy,
      // Six times the function's time-out, as Lambda asks, so that a message is not handed out while it is worked on.
      visibilityTimeout: Duration.seconds(6 * REDRIVER_TIMEOUT.toSeconds()),
      // At three minutes an attempt, a stream that is away for a day does not make dead letters.
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: 500 },
    });
    this.redriver = new RustFunction(this, 'Redriver', {
      ...props.platform,
      binary: 'spill-redriver',
      description: 'Brings spilled events to the stream.',
      memoryMb: 512,
      timeout: REDRIVER_TIMEOUT,
      tracing: false,
      logsInvocations: true,
      environment: { TIDEGATE_STREAM: props.stream.stream.streamName },
    });
    props.stream.grantPut(this.redriver.function);
    this.redriver.function.addEventSource(
      new SqsEventSource(this.queue, {
        batchSize: 10,
        reportBatchItemFailures: true,
        // A stream that has just come back is not to be overrun by what waited.
        maxConcurrency: 2,
      }),
    );
  }

  /** Messages that wait to be received, and that wait hidden to be received again. */
  metricWaiting(): [Metric, Metric] {
    const { queue } = this;
    return [queue.metricApproximateNumberOfMessagesVisible(), queue.metricApproximateNumberOfMessagesNotVisible()];
  }

  /** Lets `grantee` send messages, and nothing else. */
  grantSend(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [this.queue.queueArn] }),
    );
  }
}

/** SQS takes 1 MiB since 2025; a queue that does not say so may have the older limit. */
const MESSAGE_BYTES = 1_048_576;
