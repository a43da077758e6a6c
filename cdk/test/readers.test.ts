import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CONTRACT } from '../lib/contract';
import { resources, template } from './stack';

// `tests/pipeline/cases.rs` writes these lines: what the pipeline made of input that is not as it should be.
const LINES = join(__dirname, 'readers', 'lines.ndjson');

test('Python, jq and DuckDB read the same from every line, whatever a client sent', () => {
  const columns = Object.fromEntries(
    CONTRACT.tables.events.columns.map(({ name, type }) => [name, type === 'int' ? 'INTEGER' : 'VARCHAR']),
  );
  const python = join(__dirname, '..', '.venv', 'bin', 'python');
  const input = JSON.stringify({ lines: LINES, columns });
  const ran = spawnSync(python, [join(__dirname, 'readers.py')], { input, encoding: 'utf8' });
  if (ran.error)
    throw new Error(`${python} does not run: use \`make test-cdk\`, which installs it`, { cause: ran.error });
  assert.equal(ran.status, 0, ran.stderr);
  const { lines, values } = JSON.parse(ran.stdout);
  assert.equal(lines, parsed().length);
  assert.ok(values > 10 * lines, ran.stdout);
});

test('JavaScript reads every line, and every time in it', () => {
  for (const { event_time } of parsed()) assert.ok(event_time === undefined || !Number.isNaN(Date.parse(event_time)));
});

test('Athena keeps names that differ in upper and lower case', () => {
  const tables = resources(template('prod'), 'AWS::Glue::Table');
  assert.equal(tables.length, 2);
  for (const { Properties } of tables)
    assert.deepEqual(Properties.TableInput.StorageDescriptor.SerdeInfo.Parameters, {
      'case.insensitive': 'FALSE',
      'ignore.malformed.json': 'false',
    });
});

function parsed(): { event_time?: string }[] {
  return readFileSync(LINES, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
