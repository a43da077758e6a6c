import { Duration } from 'aws-cdk-lib';
import { type Alarm, type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import { MINUTE } from '../metrics';
import { alarm, STUCK, sum } from './alarm';
import type { EventStream } from './event-stream';
import { queuePair } from './queue-pair';
import type { Network } from './network';
import { type Platform, RustFunction } from './rust-function';

export interface SpillQueueProps {
  readonly protectData: boolean;
  readonly platform: Platform;
  /** That its function runs in. */
  readonly network?: Network;
  readonly stream: EventStream;
}

const { spill } = CONTRACT;

/**
 * A message that crashes the drain is received again after the visibility time-out of three minutes: never twice within three
 * minutes.
 */
const TWICE = { bad: 2, of: 10 };

/** The queue for events that the stream refused, its dead-letter queue, and the drain, which puts them on the stream later. */
export class SpillQueue extends Construct {
  readonly queue: Queue;
  readonly deadLetters: Queue;
  readonly drain: RustFunction;
  readonly drainTimeout = Duration.seconds(spill.drainTimeoutSeconds);
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: SpillQueueProps) {
    super(scope, id);
    ({ queue: this.queue, deadLetters: this.deadLetters } = queuePair(
      this,
      spill,
      props.protectData,
      props.platform.key,
    ));
    this.drain = new RustFunction(this, 'Drain', {
      ...props.platform,
      name: 'drain',
      description: 'Puts spilled events on the stream.',
      memoryMb: 512,
      timeout: this.drainTimeout,
      tracing: false,
      network: props.network,
      logsInvocations: true,
      resources: { stream: props.stream.stream, spillQueue: this.queue },
    });
    this.drain.function.addEventSource(
      new SqsEventSource(this.queue, {
        batchSize: spill.batchMessages,
        reportBatchItemFailures: true,
        // A stream that has just recovered must not be flooded by the queue.
        maxConcurrency: 2,
      }),
    );
    this.alarms = [
      alarm(this, {
        name: 'spill-stuck',
        metric: sum(this.metricsWaiting()),
        above: 0,
        // A quarter of an hour without a minute in which the queue was empty. The age of the oldest message would not do: SQS leaves
        // out messages that were received three times, and those are the stuck ones
        // (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html).
        minutes: STUCK,
        meaning: 'The spill queue has not been empty for a quarter of an hour: spilled events do not reach the stream.',
      }),
      alarm(this, {
        name: 'drain-errors',
        metric: this.drain.metricErrors().with(MINUTE),
        above: 0,
        minutes: TWICE,
        meaning: 'The drain crashes or times out. Its spilled events are retried.',
      }),
      alarm(this, {
        name: 'spill-dead-letters',
        metric: this.deadLetters.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, ...MINUTE }),
        above: 0,
        meaning: 'Spilled events did not reach the stream and are dead letters now.',
      }),
    ];
  }

  /** Messages that can be received now, and messages that are hidden until their next attempt. */
  private metricsWaiting(): [Metric, Metric] {
    const { queue } = this;
    return [queue.metricApproximateNumberOfMessagesVisible(), queue.metricApproximateNumberOfMessagesNotVisible()];
  }
}
