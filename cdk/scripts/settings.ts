/**
 * The tables of `docs/settings.md`, from the settings themselves. `npx tsx scripts/settings.ts` writes them between the markers of
 * the page. A test fails while it is out of date.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { CONFIGURATION, ROOT } from '../lib/settings';
import { RECIPES, STAGES } from '../lib/stage-file';
import { type Setting, SETTINGS } from '../lib/stage-settings';
import { row, withLines } from './markdown';

export const PAGE = join(ROOT, 'docs', 'settings.md');
/** A Function URL takes so many requests a second for each invocation that may run at once. */
const URL_RATE = 10;

const code = (value: unknown) =>
  value === undefined ? '' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

function settings(): string[] {
  const [dev, prod] = ['dev', 'prod'].map((stage) => parse(readFileSync(join(STAGES, `${stage}.toml`), 'utf8')));
  return [
    row(['setting', 'values', 'default', '`dev`', '`prod`', 'meaning']),
    '|---|---|---|---|---|---|',
    ...Object.entries<Setting<unknown>>(SETTINGS).map(([name, { allowed, byDefault, meaning }]) =>
      row([code(name), allowed, code(byDefault), code(dev?.[name]), code(prod?.[name]), meaning]),
    ),
  ];
}

function recipes(): string[] {
  return [
    row(['recipe', 'settings']),
    '|---|---|',
    ...Object.entries(RECIPES).map(([name, given]) =>
      row([
        `[${name}](recipes/${name}.md)`,
        Object.entries(given)
          .map(([setting, value]) => `\`${setting} = ${JSON.stringify(value)}\``)
          .join(', '),
      ]),
    ),
  ];
}

function concurrency(): string[] {
  const { publish } = parse(readFileSync(CONFIGURATION, 'utf8')) as unknown as { publish: Record<string, number> };
  const { budget_ms: budget = NaN, spill_ms: spill = NaN } = publish;
  const number = (value: number) => Math.floor(value).toLocaleString('en');
  return [
    row([
      '`reservedConcurrency`',
      'requests/s at most',
      'requests/s while nothing answers in time, at least',
      'spilled in an hour of that',
    ]),
    '|---:|---:|---:|---:|',
    ...[50, 100, 200, 500, 1_000].map((reserved) => {
      const spilling = (reserved * 1_000) / (budget + spill);
      return row([number(reserved), number(reserved * URL_RATE), number(spilling), number(spilling * 3_600)]);
    }),
  ];
}

/** The page with current tables. */
export function page(): string {
  const tables = { settings, recipes, concurrency };
  return Object.entries(tables).reduce(
    (page, [name, table]) => withLines(page, name, table()),
    readFileSync(PAGE, 'utf8'),
  );
}

if (require.main === module) writeFileSync(PAGE, page());
