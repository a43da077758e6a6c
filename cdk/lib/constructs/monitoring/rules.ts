import { Duration } from 'aws-cdk-lib';
import { Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { MINUTE, tidegateMetric } from '../../metrics';
import { CONSUMER_TIMEOUT, FRESHNESS } from '../../settings';
import { type AlarmRule, ONCE } from '../alarm';
import type { MonitoringProps } from '../monitoring';

/**
 * A quarter of an hour without a minute in which the queue was empty. Not the age of its oldest message: SQS leaves out of
 * that whatever was received three times, which is just what is stuck
 * (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html).
 */
const QUARTER_OF_AN_HOUR = { bad: 15, of: 15 };

/** A message that the redriver dies of comes again after the queue's visibility time-out, three minutes: never in two of three. */
const TWICE = { bad: 2, of: 10 };

/** The alarms, in the order of the data; those that a deployment of the door is rolled back on are the door's own. */
export function rules({ settings, ingest, stream, consumer, items, spill }: MonitoringProps): AlarmRule[] {
  const throttled = items.metricThrottledWrites();
  return [
    {
      name: 'door-throttled',
      metric: ingest.rust.metricThrottles().with(MINUTE),
      above: 0,
      meaning: 'Clients are answered 429: the door is at its concurrency limit.',
    },
    {
      name: 'publish-latency',
      metric: tidegateMetric('PublishLatency', Stats.percentile(99)),
      above: settings.slowPut.toMilliseconds(),
      meaning:
        'Puts take nearly as long as they may, or are cut off; their events are sent again or go by the spill queue.',
    },
    {
      name: 'stream-full',
      metric: stream.metricThrottledRecords().with(MINUTE),
      above: 0,
      meaning: 'A shard refuses records: it is full, or one tenant outgrew it.',
    },
    {
      name: 'spilling',
      metric: tidegateMetric('EventsSpilled', Stats.SUM),
      above: 0,
      meaning: 'The stream does not take events in time; they go by the spill queue, and reach the archive late.',
    },
    {
      name: 'spill-stuck',
      metric: spill.metricWaiting(),
      above: 0,
      minutes: QUARTER_OF_AN_HOUR,
      meaning: 'The spill queue has not been empty for a quarter of an hour: spilled events do not reach the stream.',
    },
    {
      name: 'redriver-errors',
      metric: spill.redriver.metricErrors().with(MINUTE),
      above: 0,
      minutes: TWICE,
      meaning: 'The redriver fails, by a crash or its time-out; the spilled events that it was given come again.',
    },
    {
      name: 'spill-dead-letters',
      metric: spill.deadLetters.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, ...MINUTE }),
      above: 0,
      meaning: 'Spilled events could not be brought to the stream and are dead letters now.',
    },
    {
      name: 'consumer-behind',
      metric: consumer.metricIteratorAge().with(MINUTE),
      above: Duration.minutes(1).toMilliseconds(),
      meaning: 'The consumer is more than a minute behind the stream. Records are given up after six hours.',
    },
    {
      name: 'consumer-errors',
      metric: consumer.rust.metricErrors().with(MINUTE),
      above: 0,
      meaning: 'The consumer fails, by a crash or its time-out; batches are bisected and tried again.',
    },
    {
      name: 'consumer-slow',
      metric: consumer.rust.metricDuration(Stats.MAXIMUM).with(MINUTE),
      above: 0.8 * CONSUMER_TIMEOUT.toMilliseconds(),
      meaning: 'A run of the consumer comes near its time-out.',
    },
    {
      name: 'items-throttled',
      // Not the throttled requests: of a batch they count only the one in which every insert was refused.
      metric: [throttled.ofTable, throttled.ofIndex],
      above: 0,
      meaning: 'DynamoDB throttles inserts, at the table or at its index; the consumer retries and falls behind.',
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
      minutes: ONCE,
      meaning: 'Records or events were put into quarantine.',
    },
    {
      name: 'failed-batches',
      metric: consumer.metricFailedRecords(),
      above: 0,
      minutes: ONCE,
      meaning: 'Records failed for good and lie under aws/lambda/ until they are redriven.',
    },
    {
      name: 'dropped-records',
      metric: consumer.metricDroppedRecords(),
      above: 0,
      minutes: ONCE,
      meaning: 'Records were given up on and are not kept anywhere but on the stream.',
    },
  ];
}
