import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type Alarm, type IMetric, MathExpression, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { AttributeType, BillingMode, Table } from 'aws-cdk-lib/aws-dynamodb';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import { MINUTE, type StageMetrics } from '../metrics';
import type { DispatchSettings } from '../settings';
import { alarm, STUCK } from './alarm';
import type { ArchiveBucket } from './archive-bucket';
import type { ItemsTable } from './items-table';
import { queuePair } from './queue-pair';
import { tableEncryption } from './resources';
import { type Platform, RustFunction } from './rust-function';

export interface DispatchProps {
  readonly protectData: boolean;
  readonly tracing: boolean;
  readonly settings: DispatchSettings;
  /** The ARN of the secret for the target. */
  readonly secret?: string;
  readonly platform: Platform;
  readonly items: ItemsTable;
  readonly archive: ArchiveBucket;
}

const { dispatch, alarms } = CONTRACT;

/** A message that crashes the dispatcher is received again after the visibility time-out of six minutes. */
const TWICE = { bad: 2, of: 15 };

/** The queue of stored events for the target, its dead-letter queue, the dispatcher, and the counter that holds the rate. */
export class Dispatch extends Construct {
  readonly queue: Queue;
  readonly deadLetters: Queue;
  readonly rate: Table;
  readonly dispatcher: RustFunction;
  readonly timeout = Duration.seconds(dispatch.timeoutSeconds);
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: DispatchProps) {
    super(scope, id);
    const { ratePerSecond, needsSecret } = props.settings;
    if (needsSecret && props.secret === undefined) {
      throw new Error('a header of dispatch has {secret}, but no secret is named: give its ARN by -c dispatchSecret=');
    }
    ({ queue: this.queue, deadLetters: this.deadLetters } = queuePair(
      this,
      dispatch,
      props.protectData,
      props.platform.key,
    ));
    // One row. If it is lost, the next call is made at once.
    this.rate = new Table(this, 'Rate', {
      partitionKey: { name: dispatch.rateKey, type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      ...tableEncryption(props.platform.key),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.dispatcher = new RustFunction(this, 'Dispatcher', {
      ...props.platform,
      name: 'dispatch',
      description: 'Sends stored events to the target.',
      memoryMb: 256,
      timeout: this.timeout,
      tracing: props.tracing,
      logsInvocations: true,
      resources: {
        items: props.items.table,
        bucket: props.archive.bucket,
        dispatchQueue: this.queue,
        dispatchDeadLetters: this.deadLetters,
        rate: this.rate,
        targetSecret: props.secret,
      },
      more: props.secret === undefined ? [] : [dispatch.withSecret],
    });
    this.dispatcher.function.addEventSource(
      new SqsEventSource(this.queue, {
        // What the rate allows in some seconds: a batch larger than that would only wait in the function.
        batchSize: Math.min(dispatch.batchMessages, Math.max(1, Math.ceil(ratePerSecond * dispatch.batchSeconds))),
        reportBatchItemFailures: true,
        maxConcurrency: dispatch.concurrency,
      }),
    );
    this.alarms = [
      alarm(this, {
        name: 'dispatch-stuck',
        metric: this.metricStuck(props.platform.metrics),
        above: 0,
        minutes: STUCK,
        meaning: 'Events wait for the target of dispatch, and for a quarter of an hour it took none.',
      }),
      alarm(this, {
        name: 'dispatch-backlog',
        metric: this.queue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, ...MINUTE }),
        above: Math.ceil(ratePerSecond * alarms.backlogSeconds),
        meaning: 'More events wait for the target of dispatch than its rate allows in an hour.',
      }),
      alarm(this, {
        name: 'dispatch-errors',
        metric: this.dispatcher.metricErrors().with(MINUTE),
        above: 0,
        minutes: TWICE,
        meaning: 'The dispatcher crashes or times out. Its events are sent again.',
      }),
      alarm(this, {
        name: 'dispatch-dead-letters',
        metric: this.deadLetters.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, ...MINUTE }),
        above: 0,
        meaning: 'The target of dispatch refused events for good, or too often. They are dead letters now.',
      }),
    ];
  }

  /** 1 in a minute in which events waited and none was dispatched. */
  private metricStuck(metrics: StageMetrics): IMetric {
    const waiting = this.queue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MINIMUM, ...MINUTE });
    const dispatched = metrics.metric('EventsDispatched', Stats.SUM);
    return new MathExpression({
      expression: 'IF(FILL(waiting, 0) > 0 AND FILL(dispatched, 0) < 1, 1, 0)',
      usingMetrics: { waiting, dispatched },
      ...MINUTE,
    });
  }
}
