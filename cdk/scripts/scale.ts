/** Reads what `make scale` simulated, a JSON object a line, and writes it with its costs into the table of `docs/performance.md`. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lib/settings';
import { components, money, total } from './cost';
import { head, row, withLines } from './markdown';

/** `Summary` of `tests/src/bin/scale.rs`. */
interface Scenario {
  readonly eventsASecond: number;
  readonly shards: number;
  readonly packed: number;
  readonly recordBytes: number;
  readonly tableUnits: number | null;
  readonly windowSeconds: number;
  readonly oldestP50Seconds: number;
  readonly oldestP99Seconds: number;
  readonly busy: number;
  readonly invocationsAMillion: number;
  readonly invocationSeconds: number;
}

const PAGE = join(ROOT, 'docs', 'performance.md');

/** A million events, with items of one write unit. */
function dollars(of: Scenario): number {
  const simulated = { shards: of.shards, runs: of.invocationsAMillion, took: of.invocationSeconds };
  const traffic = { eventsAPost: of.packed, eventBytes: of.recordBytes / of.packed };
  return total(components(of.eventsASecond, { ...traffic, content: 'reference', simulated }));
}

function cells(of: Scenario): string[] {
  return [
    of.eventsASecond.toLocaleString('en'),
    of.shards.toLocaleString('en'),
    String(of.packed),
    of.tableUnits?.toLocaleString('en') ?? 'enough',
    String(of.windowSeconds),
    of.oldestP50Seconds.toFixed(1),
    of.oldestP99Seconds.toFixed(1),
    `${Math.round(100 * of.busy)} %`,
    // An invocation writes one.
    ((of.eventsASecond * of.invocationsAMillion) / 1e6).toFixed(1),
    Math.round(of.invocationsAMillion).toLocaleString('en'),
    // With a backlog that grows there is no steady state to pay for.
    of.busy < 1 ? money(dollars(of)) : '–',
  ];
}

const HEAD = [
  'events/s',
  'shards',
  'events a record',
  'table, units/s',
  'window, s',
  'oldest event, p50 s',
  'p99 s',
  'busy',
  'objects/s',
  'invocations a million events',
  'dollars a million events',
];

const lines = readFileSync(0, 'utf8').trim().split('\n');
const table = [...head(HEAD), ...lines.map((line) => row(cells(JSON.parse(line) as Scenario)))];
writeFileSync(PAGE, withLines(readFileSync(PAGE, 'utf8'), 'shards', table));
