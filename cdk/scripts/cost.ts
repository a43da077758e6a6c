/**
 * The cost of a million events, from the prices in `lib/prices.ts`. `npx tsx scripts/cost.ts` writes the tables into
 * `docs/cost.md`, between its markers. A test fails while the page is out of date.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOURS_A_MONTH, PRICES, WATCHED } from '../lib/prices';
import { LEAST_READ_UNITS, SCALING_ALARMS } from '../lib/constructs/items-table';
import { CONTRACT } from '../lib/contract';
import { metricCount } from '../lib/metrics';
import { ROOT } from '../lib/settings';
import { PROVISIONED_USE_PERCENT } from '../lib/stage-settings';
import { head, row, withLines } from './markdown';

const { lambda, kinesis, dynamodb, s3, sqs, kms, egress, cloudwatch, xray, apiGateway, firehose } = PRICES;
const MILLION = 1_000_000;
const GB = 1024 ** 3;
const KB = 1024;
/** With this memory a function has one processor, and with less a part of it. */
const PROCESSOR_MB = CONTRACT.consumer.memoryMb;
const DOCUMENT = join(ROOT, 'docs', 'samples', 'metric-document.json');
/** What `-c itemsCapacity=` aims at. */
const PROVISIONED_USE = PROVISIONED_USE_PERCENT / 100;
const SECONDS_A_MONTH = HOURS_A_MONTH * 3600;

export type Content = keyof typeof CONTRACT.items.bytes;

/** The traffic and the services' latencies are assumed; the functions' own figures are measured or configured. */
export const ASSUMED = {
  eventBytes: CONTRACT.items.eventBytes,
  eventsAPost: 1,
  /** A put to the stream. */
  ingestWaitSeconds: 0.01,
  /** At one processor: 40 µs a request, some of it for each event. */
  ingestCpuSeconds: { request: 0.00003, event: 0.00001 },
  ingestMb: CONTRACT.ingest.memoryMb,
  /** What ingest's answer has with its headers and TLS. */
  answerBytes: 400,
  /** Reading and writing the ledger, and the object; and items, 400 at once in 15 ms. */
  consumerWaitSeconds: { run: 0.06, event: 0.0000375 },
  /** At one processor. */
  consumerCpuSeconds: { run: 0.002, event: 0.000022 },
  consumerMb: CONTRACT.consumer.memoryMb,
  windowSeconds: CONTRACT.mapping.windowSeconds.default,
  /** The used part of a shard's capacity: the rest is room for peaks. */
  shardUse: 0.7,
  shardEventsASecond: 1000,
  /** What an item has of the text; `undefined`: there are no items. */
  content: 'both' as Content | undefined,
  /** The used part of provisioned write units; `undefined`: on demand. */
  provisionedUse: undefined as number | undefined,
  compression: 3.5,
  /** The ledger's write units for one object: intent, commit, and a manifest row of a few kilobytes. */
  ledgerUnits: 6,
  /** Ingest writes a document of metrics for fifty requests, with fifty values. */
  documentBytes: JSON.stringify(JSON.parse(readFileSync(DOCUMENT, 'utf8'))).length + 49 * '10.0,'.length,
  /** An invocation of the consumer: its document, and three lines of Lambda's. */
  invocationBytes: 2400,
  /** Lambda polls a queue with five pollers, each waiting up to 20 seconds, also when the queue is empty. */
  pollers: 5,
  pollSeconds: 20,
  tracing: false,
  /** A sandbox is replaced after so long. It starts with so much processor time, and some waiting for connections. */
  sandboxSeconds: 2 * 3600,
  startCpuSeconds: 0.04,
  startWaitSeconds: 0.1,
  /** The services get a new data key for each sandbox so often. */
  dataKeySeconds: 300,
  /** What arm64 costs of x86-64, for a second. */
  secondPrice: 1,
  /** Whether events are read back, by an index by time. */
  reads: false,
  /** Whether events are dispatched. */
  dispatches: false,
  /** The consumer, where it was simulated, in place of what follows from the rest. */
  simulated: undefined as Simulated | undefined,
};

/** Shards, invocations for a million events, and how long one takes. */
export interface Simulated {
  readonly shards: number;
  readonly runs: number;
  readonly took: number;
}

export type Assumed = typeof ASSUMED;

/** How long something takes that waits, and needs processor time, with this memory. */
function seconds(wait: number, cpu: number, mb: number): number {
  return wait + cpu * Math.max(1, PROCESSOR_MB / mb);
}

/** Of an invocation, without the price of the request. Lambda bills whole milliseconds: half of one more. */
function billed(duration: number, mb: number, a: Assumed): number {
  return (duration + 0.0005) * (mb / 1024) * lambda.gbSecond * a.secondPrice;
}

export function ingestSeconds(a: Assumed = ASSUMED): number {
  const { request, event } = a.ingestCpuSeconds;
  return seconds(a.ingestWaitSeconds, request + event * a.eventsAPost, a.ingestMb);
}

export function consumerSeconds(events: number, a: Assumed = ASSUMED): number {
  const { consumerWaitSeconds: wait, consumerCpuSeconds: cpu } = a;
  return seconds(wait.run + wait.event * events, cpu.run + cpu.event * events, a.consumerMb);
}

/** The consumer at this rate. */
function batches(eventsASecond: number, a: Assumed) {
  const recordsASecond = eventsASecond / a.eventsAPost;
  const shards = Math.ceil(
    Math.max(recordsASecond / a.shardEventsASecond, (eventsASecond * a.eventBytes) / 1e6) / a.shardUse,
  );
  const events = (eventsASecond / shards) * a.windowSeconds;
  const took = consumerSeconds(events, a);
  const runs = (shards * MILLION) / eventsASecond / (a.windowSeconds + took);
  return { shards, runs, took, objectBytes: ((MILLION / runs) * a.eventBytes) / a.compression };
}

/** Dollars a million events, by component. */
export function components(eventsASecond: number, given: Partial<Assumed> = {}): Record<string, number> {
  const a = { ...ASSUMED, ...given };
  const requests = MILLION / a.eventsAPost;
  const time = MILLION / eventsASecond;
  const recordBytes = a.eventBytes * a.eventsAPost;
  const { shards, runs, took } = a.simulated ?? batches(eventsASecond, a);
  const sandboxes = Math.ceil((eventsASecond / a.eventsAPost) * ingestSeconds(a));
  const start = (mb: number) => billed(seconds(a.startWaitSeconds, a.startCpuSeconds, mb), mb, a);
  const started = time / a.sandboxSeconds;
  const traced = (aSecond: number) => (a.tracing ? Math.min(1, (1 + 0.05 * aSecond) / aSecond) : 0);
  const runsASecond = runs / time;
  return {
    'Lambda, requests to ingest': requests * lambda.request,
    'Lambda, time of ingest': requests * billed(ingestSeconds(a), a.ingestMb, a),
    'Lambda, consumer': runs * (lambda.request + billed(took, a.consumerMb, a)),
    'Lambda, starts': started * (sandboxes * start(a.ingestMb) + shards * start(a.consumerMb)),
    'Answers to senders': ((requests * a.answerBytes) / GB) * egress.gb,
    'Kinesis, puts': requests * Math.ceil(recordBytes / kinesis.putUnitBytes) * kinesis.putUnit,
    'Kinesis, shards': (shards * time * kinesis.shardHour) / 3600,
    ...itemCosts(eventsASecond, a),
    'DynamoDB, ledger': runs * a.ledgerUnits * dynamodb.writeUnit,
    'S3, puts': runs * s3.put,
    // Of the stream for each sandbox, and of both tables for those of the consumer.
    'KMS, keys of AWS': ((sandboxes + 3 * shards) * time * kms.call) / a.dataKeySeconds,
    'X-Ray': (requests * traced(eventsASecond / a.eventsAPost) + runs * traced(runsASecond)) * xray.trace,
    'CloudWatch, logs': (((requests / 50) * a.documentBytes + runs * a.invocationBytes) * cloudwatch.logsGb) / GB,
    'CloudWatch, metrics': (metricCount(a.dispatches) * cloudwatch.metricMonth * time) / SECONDS_A_MONTH,
  };
}

/** The table of items, and its index by time, of which an event has one write unit. */
function itemCosts(eventsASecond: number, a: Assumed): Record<string, number> {
  if (a.content === undefined) return {};
  const units = Math.ceil(CONTRACT.items.bytes[a.content] / KB);
  const indexes = a.reads ? 1 : 0;
  const use = a.provisionedUse;
  if (use === undefined) {
    const index = { 'DynamoDB, index': MILLION * dynamodb.writeUnit };
    return { 'DynamoDB, items': MILLION * units * dynamodb.writeUnit, ...(a.reads && index) };
  }
  const hours = MILLION / eventsASecond / 3600;
  const written = ((eventsASecond * (units + indexes)) / use) * dynamodb.writeUnitHour;
  const read = (1 + indexes) * LEAST_READ_UNITS * dynamodb.readUnitHour;
  const alarms = ((1 + indexes) * SCALING_ALARMS * cloudwatch.alarmMonth) / HOURS_A_MONTH;
  return { 'DynamoDB, items': hours * (written + read + alarms) };
}

export function total(costs: Record<string, number>): number {
  return Object.values(costs).reduce((sum, cost) => sum + cost, 0);
}

export interface Aim {
  readonly name: string;
  readonly aim: number;
  /** Only where the aim is missed: what a test holds instead. */
  readonly limit?: number;
  readonly given: Partial<Assumed>;
  readonly limitedBy: string;
}

/** What a million events are to cost at most, at 1,000 a second. A test holds these. */
export const AIMS: readonly Aim[] = [
  { name: 'items with both texts (default)', aim: 2.2, given: {}, limitedBy: 'three write units of the item' },
  {
    name: '`items.content = "changed"`, for texts without a change',
    aim: 1.6,
    given: { content: 'changed' },
    limitedBy: 'two write units',
  },
  {
    name: '`items.content = "reference"`',
    aim: 0.95,
    given: { content: 'reference' },
    limitedBy: 'one write unit, the least that an item has',
  },
  {
    name: 'items with both texts, provisioned capacity, steady load',
    aim: 1,
    given: { provisionedUse: PROVISIONED_USE },
    limitedBy: `three write units by the hour, used to ${PROVISIONED_USE_PERCENT} %`,
  },
  {
    name: 'without items',
    aim: 0.3,
    limit: 0.33,
    given: { content: undefined },
    limitedBy: 'the request to Lambda; the largest body, which must fit the memory',
  },
  {
    name: 'without items, and 128 MB for ingest',
    aim: 0.3,
    given: { content: undefined, ingestMb: 128 },
    limitedBy: 'the request to Lambda',
  },
];

/** Dollars a month when nothing is sent. */
export function idle(shards: number): Record<string, number> {
  return {
    [`Kinesis, ${shards} shard${shards === 1 ? '' : 's'}`]: shards * kinesis.shardHour * HOURS_A_MONTH,
    [`CloudWatch, ${WATCHED.alarms} alarms`]: WATCHED.alarmMetrics * cloudwatch.alarmMonth,
    'CloudWatch, dashboard': cloudwatch.dashboardMonth,
    'SQS, polling for spilled events': ((ASSUMED.pollers * HOURS_A_MONTH * 3600) / ASSUMED.pollSeconds) * sqs.request,
  };
}

/** Other ways to the same archive, dollars a million events. They have no items, so our items are not counted either. */
export function alternatives(eventsASecond: number): Record<string, number> {
  const ours = components(eventsASecond, { content: undefined });
  const ingest = ['Lambda, requests to ingest', 'Lambda, time of ingest', 'Answers to senders'].map(
    (name) => ours[name] ?? 0,
  );
  const rounded = Math.ceil(ASSUMED.eventBytes / firehose.ingestRoundingBytes) * firehose.ingestRoundingBytes;
  const gigabytes = (MILLION * rounded) / GB;
  return {
    'Tidegate, without items': total(ours),
    'Function URL, Firehose with dynamic partitioning':
      ingest.reduce((sum, cost) => sum + cost, 0) + gigabytes * (firehose.gbIngested + firehose.gbDynamicPartitioning),
    'API Gateway (HTTP), SQS, Lambda in tens, an object a batch':
      MILLION * apiGateway.httpRequest +
      MILLION * 1.2 * sqs.request +
      (MILLION / 10) * (lambda.request + 0.05 * 0.5 * lambda.gbSecond + s3.put) +
      (ours['Answers to senders'] ?? 0),
  };
}

/** Savings of a change, dollars a million events at 1,000 a second. */
export function levers(): [string, number][] {
  const of = (given: Partial<Assumed>) => total(components(1000, given));
  const saved = (given: Partial<Assumed>) => of({}) - of(given);
  const levers: [string, number][] = [
    [
      'Provisioned write capacity (`-c itemsCapacity=100-6000`), steady load',
      saved({ provisionedUse: PROVISIONED_USE }),
    ],
    ['`items.content = "reference"`', saved({ content: 'reference' })],
    ['`items.content = "changed"`, and the text was not changed', saved({ content: 'changed' })],
    ['Send ten events a POST', saved({ eventsAPost: 10 })],
    ['Reads are off (default)', of({ reads: true }) - of({})],
    ['Tracing is off (default)', of({ tracing: true }) - of({})],
    ['512 MB for ingest, as before, to the default', of({ ingestMb: 512 }) - of({})],
    ['`archive.window_seconds = 60`', saved({ windowSeconds: 60 })],
    ['Run on arm64 (a fifth less for compute time; not tried)', saved({ secondPrice: 0.8 })],
    ['Provisioned shards instead of on-demand (default)', onDemand() - provisioned(components(1000))],
  ];
  return levers.sort(([, a], [, b]) => b - a);
}

/** An on-demand stream with one reader, at 1,000 events a second. */
function onDemand(): number {
  const gigabytes = (MILLION * ASSUMED.eventBytes) / GB;
  return gigabytes * (kinesis.onDemandGbIn + kinesis.onDemandGbOut) + (1000 * kinesis.onDemandStreamHour) / 3600;
}

function provisioned(costs: Record<string, number>): number {
  return (costs['Kinesis, shards'] ?? 0) + (costs['Kinesis, puts'] ?? 0);
}

const RATES = [100, 1000, 10_000];
const MEMORY = [128, 256, CONTRACT.ingest.memoryMb, 512, 1024, PROCESSOR_MB];

/** The tables of `docs/cost.md`. */
function tables(): string[] {
  return [
    `Prices as of ${PRICES.asOf}. Dollars a million events at 1,000/s:`,
    '',
    ...head(['', 'dollars', 'aim', 'what most of it is']),
    ...AIMS.map(({ name, aim, given, limitedBy }) =>
      row([name, money(total(components(1000, given))), money(aim), limitedBy]),
    ),
    '',
    'By component, with the default settings:',
    '',
    ...byComponent(),
    '',
    'Storage is extra, dollars a month for each million stored events:',
    '',
    ...storage(),
    '',
    'When nothing is sent, dollars a month:',
    '',
    ...head(['', '`dev`', '`prod`']),
    ...Object.entries(idle(1)).map(([name, cost], i) =>
      row([name.replace('1 shard', '1 and 2 shards'), money(cost), money(Object.values(idle(2))[i] ?? 0)]),
    ),
    row(['**in all**', `**${money(total(idle(1)))}**`, `**${money(total(idle(2)))}**`]),
    '',
    'What a setting saves, dollars a million events at 1,000/s:',
    '',
    ...head(['', 'dollars']),
    ...levers().map(([name, saved]) => row([name, money(saved)])),
    '',
    'Memory, with the default load of 1,000/s: what the time of a function costs for a million events, how long an invocation takes, and a',
    'start that needs 8 to 40 ms of a whole processor:',
    '',
    ...memory(),
    '',
    'The window: bytes of an archive object, and dollars a million events for consumer, ledger and puts:',
    '',
    ...windows(),
    '',
    'Other ways, without items, dollars a million events at 1,000/s:',
    '',
    ...head(['', 'dollars']),
    ...Object.entries(alternatives(1000)).map(([name, cost]) => row([name, money(cost)])),
  ];
}

function byComponent(): string[] {
  const columns = RATES.map((rate) => components(rate));
  return [
    ...head(['', ...RATES.map(aSecond)]),
    ...Object.keys(columns[0] ?? {}).map((name) => row([name, ...columns.map((costs) => money(costs[name] ?? 0))])),
    row(['**in all**', ...columns.map((costs) => `**${money(total(costs))}**`)]),
    row(['dollars a month at that rate', ...columns.map((costs, i) => month(total(costs), RATES[i] ?? 0))]),
  ];
}

function storage(): string[] {
  const stored = (content: Content) =>
    ((MILLION * CONTRACT.items.bytes[content]) / GB) * (dynamodb.gbMonth + dynamodb.pitrGbMonth);
  const archived = (MILLION * ASSUMED.eventBytes) / ASSUMED.compression / GB;
  return [
    ...head(['', 'dollars']),
    ...Object.keys(CONTRACT.items.bytes).map((content) =>
      row([`items with \`${content}\`, with point-in-time recovery`, money(stored(content as Content))]),
    ),
    row(['archive', money(archived * s3.gbMonth)]),
    row(['archive in Infrequent Access', money(archived * s3.infrequentGbMonth)]),
    row(['moving it there, once, at 1,000/s', money(batches(1000, ASSUMED).runs * s3.toInfrequent)]),
  ];
}

function memory(): string[] {
  const { shards, runs } = batches(1000, ASSUMED);
  const events = (1000 / shards) * ASSUMED.windowSeconds;
  return [
    ...head(['MB', 'ingest', 'a request', 'consumer', `a batch of ${events.toLocaleString('en')}`, 'a start']),
    ...MEMORY.map((mb) => {
      const a = { ...ASSUMED, ingestMb: mb, consumerMb: mb };
      const [ingest, consumer] = [ingestSeconds(a), consumerSeconds(events, a)];
      const [least, most] = [0.008, 0.04].map((cpu) => Math.round(seconds(0, cpu, mb) * 1000));
      return row([
        mb.toLocaleString('en'),
        money(MILLION * billed(ingest, mb, a)),
        `${(ingest * 1000).toFixed(1)} ms`,
        money(runs * billed(consumer, mb, a)),
        `${Math.round(consumer * 1000)} ms`,
        `${least}–${most} ms`,
      ]);
    }),
  ];
}

function windows(): string[] {
  return [
    ...head(['`archive.window_seconds`', ...RATES.flatMap((rate) => [`object at ${aSecond(rate)}`, 'dollars'])]),
    ...[1, 3, 10, 60, 300].map((windowSeconds) =>
      row([
        String(windowSeconds),
        ...RATES.flatMap((rate) => {
          const costs = components(rate, { windowSeconds });
          const ofBatches = ['Lambda, consumer', 'DynamoDB, ledger', 'S3, puts'].map((name) => costs[name] ?? 0);
          const bytes = Math.min(5e6, batches(rate, { ...ASSUMED, windowSeconds }).objectBytes);
          return [
            `${Math.round(bytes / 1000).toLocaleString('en')} KB`,
            money(ofBatches.reduce((sum, cost) => sum + cost, 0)),
          ];
        }),
      ]),
    ),
  ];
}

function aSecond(rate: number): string {
  return `${rate.toLocaleString('en')}/s`;
}

export function money(dollars: number): string {
  return dollars < 1 ? dollars.toFixed(3) : dollars.toFixed(2);
}

function month(aMillion: number, eventsASecond: number): string {
  return Math.round((aMillion * eventsASecond * 3600 * HOURS_A_MONTH) / MILLION).toLocaleString('en');
}

export const PAGE = join(ROOT, 'docs', 'cost.md');

/** The page with current tables. */
export function page(): string {
  return withLines(readFileSync(PAGE, 'utf8'), 'tables', tables());
}

if (require.main === module) writeFileSync(PAGE, page());
