/**
 * The cost of a million events, from the prices in `lib/prices.ts`. `npx tsx scripts/cost.ts` writes the tables into
 * `docs/cost.md`, between its markers. A test fails while the page is out of date.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOURS_A_MONTH, PRICES, WATCHED } from '../lib/prices';
import { CONTRACT } from '../lib/contract';
import { metricCount } from '../lib/metrics';
import { ROOT } from '../lib/settings';

const { lambda, kinesis, dynamodb, s3, sqs, cloudwatch, xray, apiGateway, firehose } = PRICES;
const MILLION = 1_000_000;
const GB = 1024 ** 3;

/** The traffic is assumed; the functions' figures are measured or configured. */
export const ASSUMED = {
  eventBytes: 1024,
  eventsAPost: 1,
  ingestSeconds: 0.015,
  ingestGb: 0.5,
  consumerSeconds: 0.2,
  consumerGb: CONTRACT.consumer.memoryMb / 1024,
  /** The used part of a shard's capacity: the rest is room for peaks. */
  shardUse: 0.7,
  shardEventsASecond: 1000,
  /** An item holds the text twice: as it came, and transformed. */
  itemBytes: 1900,
  compression: 3.5,
  /** The ledger's write units for one object: intent, commit, and a manifest row of a few kilobytes. */
  ledgerUnits: 6,
  /** One document of metrics for fifty requests, and one for each invocation of the consumer. */
  documentBytes: 1500,
  /** Lambda polls a queue with five pollers, each waiting up to 20 seconds, also when the queue is empty. */
  pollers: 5,
  pollSeconds: 20,
  traced: 0.05,
  /** Whether events are read back, by an index by time. */
  reads: false,
  /** Whether events are dispatched. */
  dispatches: false,
};

export type Assumed = typeof ASSUMED;

/** Dollars a million events, by component. */
export function components(eventsASecond: number, given: Partial<Assumed> = {}): Record<string, number> {
  const a = { ...ASSUMED, ...given };
  const requests = MILLION / a.eventsAPost;
  const seconds = MILLION / eventsASecond;
  const recordBytes = a.eventBytes * a.eventsAPost;
  const recordsASecond = eventsASecond / a.eventsAPost;
  const shards = Math.ceil(
    Math.max(recordsASecond / a.shardEventsASecond, (eventsASecond * a.eventBytes) / 1e6) / a.shardUse,
  );
  const runs = (shards * seconds) / (CONTRACT.mapping.windowSeconds + a.consumerSeconds);
  const itemUnits = Math.ceil(a.itemBytes / 1024);
  return {
    'Lambda, ingest': requests * (lambda.request + a.ingestSeconds * a.ingestGb * lambda.gbSecond),
    'X-Ray, ingest': requests * a.traced * xray.trace,
    'Kinesis, puts': requests * Math.ceil(recordBytes / kinesis.putUnitBytes) * kinesis.putUnit,
    'Kinesis, shards': (shards * seconds * kinesis.shardHour) / 3600,
    'Lambda, consumer': runs * (lambda.request + a.consumerSeconds * a.consumerGb * lambda.gbSecond),
    'DynamoDB, items': MILLION * itemUnits * dynamodb.writeUnit,
    ...(a.reads ? { 'DynamoDB, index': MILLION * dynamodb.writeUnit } : {}),
    'DynamoDB, ledger': runs * a.ledgerUnits * dynamodb.writeUnit,
    'S3, puts': runs * s3.put,
    'CloudWatch, logs': ((requests / 50 + runs) * a.documentBytes * cloudwatch.logsGb) / GB,
    'CloudWatch, metrics': (metricCount(a.dispatches) * cloudwatch.metricMonth * seconds) / (HOURS_A_MONTH * 3600),
  };
}

export function total(costs: Record<string, number>): number {
  return Object.values(costs).reduce((sum, cost) => sum + cost, 0);
}

/** Dollars a month when nothing is sent. */
export function idle(shards: number): Record<string, number> {
  return {
    [`Kinesis, ${shards} shard${shards === 1 ? '' : 's'}`]: shards * kinesis.shardHour * HOURS_A_MONTH,
    [`CloudWatch, ${WATCHED.alarms} alarms`]: WATCHED.alarmMetrics * cloudwatch.alarmMonth,
    'CloudWatch, dashboard': cloudwatch.dashboardMonth,
    'SQS, polling for spilled events': ((ASSUMED.pollers * HOURS_A_MONTH * 3600) / ASSUMED.pollSeconds) * sqs.request,
  };
}

function itemsOf(costs: Record<string, number>): number {
  return costs['DynamoDB, items'] ?? 0;
}

/** Other ways to the same archive, dollars a million events. They have no items, so our items are not counted either. */
export function alternatives(eventsASecond: number): Record<string, number> {
  const ours = components(eventsASecond);
  const withoutItems = total(ours) - itemsOf(ours);
  const rounded = Math.ceil(ASSUMED.eventBytes / firehose.ingestRoundingBytes) * firehose.ingestRoundingBytes;
  const gigabytes = (MILLION * rounded) / GB;
  return {
    'Tidegate, without items': withoutItems,
    'Function URL, Firehose with dynamic partitioning':
      (ours['Lambda, ingest'] ?? 0) + gigabytes * (firehose.gbIngested + firehose.gbDynamicPartitioning),
    'API Gateway (HTTP), SQS, Lambda in tens, an object a batch':
      MILLION * apiGateway.httpRequest +
      MILLION * 1.2 * sqs.request +
      (MILLION / 10) * (lambda.request + 0.05 * 0.5 * lambda.gbSecond + s3.put),
  };
}

/** Savings of a change, dollars a million events at 1,000 a second. */
export function levers(): [string, number][] {
  const base = total(components(1000));
  const with_ = (given: Partial<Assumed>) => base - total(components(1000, given));
  const ours = components(1000);
  const saved: [string, number][] = [
    ['Send ten events a POST', with_({ eventsAPost: 10 })],
    ['Keep items below 1 KB (short texts)', with_({ itemBytes: 1000 })],
    ['Store no items (**needs code**; no deduplication)', itemsOf(ours)],
    ['Switch off tracing of ingest', ours['X-Ray, ingest'] ?? 0],
    [
      'Run on arm64 (a fifth less for compute time; not tried)',
      0.2 * MILLION * ASSUMED.ingestSeconds * ASSUMED.ingestGb * lambda.gbSecond,
    ],
    ['Provisioned shards instead of on-demand', onDemand() - provisioned(ours)],
  ];
  return saved.sort(([, a], [, b]) => b - a);
}

/** Of the index by time, dollars a million events. */
function readsCost(): number {
  return total(components(1000, { reads: true })) - total(components(1000));
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

/** The tables of `docs/cost.md`. */
export function tables(): string {
  const columns = RATES.map((rate) => components(rate));
  const names = Object.keys(columns[0] ?? {});
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const head = (cells: string[]) => [row(cells), `|${cells.map((_, i) => (i ? '---:|' : '---|')).join('')}`];
  const stored = (MILLION * ASSUMED.itemBytes) / GB;
  const archived = (MILLION * ASSUMED.eventBytes) / ASSUMED.compression / GB;
  return [
    `Prices as of ${PRICES.asOf}. Dollars a million events:`,
    '',
    ...head(['', ...RATES.map((rate) => `${rate.toLocaleString('en')}/s`)]),
    ...names.map((name) => row([name, ...columns.map((costs) => money(costs[name] ?? 0))])),
    row(['**in all**', ...columns.map((costs) => `**${money(total(costs))}**`)]),
    row(['dollars a month at that rate', ...columns.map((costs, i) => month(total(costs), RATES[i] ?? 0))]),
    '',
    'Storage is extra, dollars a month for each million stored events:',
    '',
    ...head(['', 'dollars']),
    row(['items, with point-in-time recovery', money(stored * (dynamodb.gbMonth + dynamodb.pitrGbMonth))]),
    row(['archive, first thirty days', money(archived * s3.gbMonth)]),
    row(['archive, later, objects of 128 KB and more', money(archived * s3.infrequentGbMonth)]),
    '',
    'When nothing is sent, dollars a month:',
    '',
    ...head(['', '`dev`', '`prod`']),
    ...Object.entries(idle(1)).map(([name, cost], i) =>
      row([name.replace('1 shard', '1 and 2 shards'), money(cost), money(Object.values(idle(2))[i] ?? 0)]),
    ),
    row(['**in all**', `**${money(total(idle(1)))}**`, `**${money(total(idle(2)))}**`]),
    '',
    `With events that can be read back (\`reads\`) it is ${money(readsCost())} more, for the index by time.`,
    '',
    'Savings, dollars a million events at 1,000/s:',
    '',
    ...head(['', 'dollars']),
    ...levers().map(([name, saved]) => row([name, money(saved)])),
    '',
    'Other ways, without items, dollars a million events at 1,000/s:',
    '',
    ...head(['', 'dollars']),
    ...Object.entries(alternatives(1000)).map(([name, cost]) => row([name, money(cost)])),
  ].join('\n');
}

function money(dollars: number): string {
  return dollars < 1 ? dollars.toFixed(3) : dollars.toFixed(2);
}

function month(aMillion: number, eventsASecond: number): string {
  return Math.round((aMillion * eventsASecond * 3600 * HOURS_A_MONTH) / MILLION).toLocaleString('en');
}

export const PAGE = join(ROOT, 'docs', 'cost.md');
const BETWEEN = /(<!-- tables -->\n)[\s\S]*(<!-- end -->)/;

/** The page with current tables. */
export function page(): string {
  return readFileSync(PAGE, 'utf8').replace(
    BETWEEN,
    (_, begin: string, end: string) => `${begin}\n${tables()}\n\n${end}`,
  );
}

if (require.main === module) writeFileSync(PAGE, page());
