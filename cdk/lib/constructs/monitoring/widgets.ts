import { Duration } from 'aws-cdk-lib';
import { GraphWidget, type IMetric, MathExpression, Stats, TextWidget } from 'aws-cdk-lib/aws-cloudwatch';
import { S3_WRITES, type StageMetrics } from '../../metrics';
import type { Dispatch } from '../dispatch';
import type { TableMetrics } from '../items-table';
import { estimatedCost } from './estimate';
import type { DashboardSources } from './sources';

/** The dashboard: rows of three graphs, in the order of the data. */
export function widgets(sources: DashboardSources) {
  const { settings, metrics, ingest, stream, consumer, items, spill, dispatch } = sources;
  const { sum, distribution, rate } = of(metrics);
  return [
    [heading('## Ingest')],
    [
      graph('Requests a second', [
        rate('RequestsReceived', 'received'),
        rate('RequestsFiltered', 'filtered by tier'),
        rate('CredentialsRefused', 'refused by credential'),
        rate('QuotasExceeded', 'refused by quota'),
        rate('EventsRejected', 'events rejected'),
        rate('SurrogatesReplaced', 'surrogates replaced'),
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
        { right: [ingest.rust.metricConcurrency(), sum('CredentialRefreshFailures')] },
      ),
    ],
    [
      graph('Ingest: duration (ms)', [
        ingest.rust.metricDuration(Stats.p(50)),
        ingest.rust.metricDuration(Stats.p(99)),
      ]),
      graph('Publish: a put, as ingest sees it (ms)', distribution('PublishLatency'), {
        right: [sum('PublishRetries')],
        ...line(settings.slowPut.toMilliseconds(), 'slow'),
      }),
      graph(
        'Stream: PutRecords (ms), throttled records',
        [stream.metricPutRecordsLatency('Average'), stream.metricPutRecordsLatency('Maximum')],
        { right: [stream.metricThrottledRecords(), stream.metricIncomingRecords()] },
      ),
    ],
    [heading('## Spill')],
    [
      graph(
        'Spill: messages waiting, in progress, dead letters',
        [
          spill.queue.metricApproximateNumberOfMessagesVisible(),
          spill.queue.metricApproximateNumberOfMessagesNotVisible(),
          spill.deadLetters.metricApproximateNumberOfMessagesVisible(),
        ],
        {
          // SQS leaves out messages that were received three times. A dead letter's age starts when it becomes one.
          right: [
            spill.queue.metricApproximateAgeOfOldestMessage({ label: 'oldest waiting (s)' }),
            spill.deadLetters.metricApproximateAgeOfOldestMessage({ label: 'oldest dead letter (s)' }),
          ],
        },
      ),
      graph('Drain: errors, throttles', [spill.drain.metricErrors(), spill.drain.metricThrottles()], {
        right: [spill.drain.metricConcurrency()],
      }),
      graph(
        'Drain: duration (ms)',
        [spill.drain.metricDuration(Stats.p(50)), spill.drain.metricDuration(Stats.MAXIMUM)],
        { right: distribution('DrainLatency', 'a put, '), ...line(spill.drainTimeout.toMilliseconds(), 'time-out') },
      ),
    ],
    [heading('## Consumer')],
    [
      graph(
        'Freshness: ingest to archive (ms)',
        distribution('Freshness'),
        line(consumer.freshness.toMilliseconds(), 'promised'),
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
        metrics.metric('BatchEvents', Stats.p(50), 'p50'),
        metrics.metric('BatchEvents', Stats.MAXIMUM, 'largest'),
      ]),
      graph(
        'S3 writes a second, by kind',
        S3_WRITES.map((name) => rate(name, words(name))),
        {
          right: [metrics.metric('ObjectBytes', Stats.AVERAGE, 'bytes an archive object')],
        },
      ),
      graph(
        'Consumer: duration (ms)',
        [consumer.rust.metricDuration(Stats.p(50)), consumer.rust.metricDuration(Stats.MAXIMUM)],
        line(consumer.timeout.toMilliseconds(), 'time-out'),
      ),
    ],
    [
      graph('Consumer: errors, throttles', [consumer.rust.metricErrors(), consumer.rust.metricThrottles()], {
        right: [consumer.rust.metricConcurrency(), sum('SpansDropped')],
      }),
      graph('Items: write units', tableAndIndex(items.metricWriteUnits()), {
        right: items.isProvisioned ? tableAndIndex(items.metricProvisioned(), 'provisioned a second, ') : [],
      }),
      graph('Items: throttled writes', tableAndIndex(items.metricThrottledWrites())),
    ],
    ...(dispatch ? ofDispatch(dispatch, metrics) : []),
    [heading('## Cost')],
    [graph('Estimated dollars an hour', [estimatedCost(sources)], { width: 24 })],
  ];
}

function ofDispatch({ queue, deadLetters, dispatcher, timeout }: Dispatch, metrics: StageMetrics) {
  const { sum, distribution, rate } = of(metrics);
  return [
    [heading('## Dispatch')],
    [
      graph('Events a second', [rate('DispatchesQueued', 'queued'), rate('EventsDispatched', 'dispatched')], {
        right: [sum('DispatchRetries'), sum('EventsUndelivered')],
      }),
      graph(
        'Dispatch: messages waiting, hidden, dead letters',
        [
          queue.metricApproximateNumberOfMessagesVisible(),
          queue.metricApproximateNumberOfMessagesNotVisible(),
          deadLetters.metricApproximateNumberOfMessagesVisible(),
        ],
        { right: [queue.metricApproximateAgeOfOldestMessage({ label: 'oldest waiting (s)' })] },
      ),
      graph('Target: a call (ms)', distribution('DispatchLatency'), {
        right: distribution('DispatchAge', 'from ingest to the target, '),
      }),
    ],
    [
      graph('Dispatcher: errors, throttles', [dispatcher.metricErrors(), dispatcher.metricThrottles()], {
        right: [dispatcher.metricConcurrency()],
      }),
      graph(
        'Dispatcher: duration (ms)',
        [dispatcher.metricDuration(Stats.p(50)), dispatcher.metricDuration(Stats.MAXIMUM)],
        line(timeout.toMilliseconds(), 'time-out'),
      ),
    ],
  ];
}

function heading(markdown: string): TextWidget {
  return new TextWidget({ markdown, width: 24, height: 1 });
}

function graph(title: string, left: IMetric[], more: object = {}): GraphWidget {
  return new GraphWidget({ title, left, width: 8, height: 6, ...more });
}

function line(value: number, label: string) {
  return { leftAnnotations: [{ value, label, color: '#d62728' }] };
}

function tableAndIndex({ ofTable, ofIndex }: TableMetrics, of = ''): IMetric[] {
  return [ofTable.with({ label: `${of}table` }), ...(ofIndex ? [ofIndex.with({ label: `${of}index` })] : [])];
}

function of(metrics: StageMetrics) {
  const sum = (name: string): IMetric => metrics.metric(name, Stats.SUM);
  const distribution = (name: string, ofWhat = ''): IMetric[] =>
    [50, 99].map((percentile) => metrics.metric(name, Stats.p(percentile), `${ofWhat}p${percentile}`));
  const rate = (name: string, label: string): IMetric => {
    // The ids of a graph's metrics are distinct and begin with a small letter.
    const id = `m${name}`;
    const expression = `${id} / PERIOD(${id})`;
    return new MathExpression({ expression, usingMetrics: { [id]: sum(name) }, label, period: Duration.minutes(1) });
  };
  return { sum, distribution, rate };
}

/** `ObjectsWritten` as `objects written`. */
function words(metricName: string): string {
  return metricName.replace(/(?!^)[A-Z]/g, ' $&').toLowerCase();
}
