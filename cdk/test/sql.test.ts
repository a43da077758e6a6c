import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { CONTRACT, type TableContract } from '../lib/contract';
import { QUERIES, query } from '../lib/constructs/archive-sql';
import { type Json, resource, resources, template } from './stack';

// DuckDB runs the workgroup's queries unchanged, over objects that the pipeline wrote (`archive/`: two batches and their
// quarantine; the first object has a gzip member for each of three tenants). Athena itself is not tested.

test('a tenant’s hour is that tenant’s, in order', () => {
  const [rows] = run(['one-tenants-hour', '2026-11-21', '09', 'acme']);
  assert.deepEqual(
    rows?.map(([, id, tier, source, text]) => [id, tier, source, text]),
    [
      ['1', 'pro', 'json_upload', 'User [REDACTED] accessed /reports'],
      ['2', 'pro', 'json_upload', 'second'],
      ['3', 'pro', 'json_upload', 'zweite Zeile: Grüße'],
    ],
  );
});

test('all gzip members of an object are read: counts by tier', () => {
  assert.deepEqual(run(['counts-by-tier', '2026-11-21']), [
    [
      ['pro', 3, 1],
      ['free', 2, 1],
      ['enterprise', 1, 1],
    ],
  ]);
});

test('the reasons of a day’s quarantine', () => {
  const [rows] = run(['quarantine-reasons', '2026-11-21']);
  assert.deepEqual(
    rows?.map(([reason, records]) => [reason, records]),
    [['id_reused', 1]],
  );
});

test('other members that a client sent can be queried by path', () => {
  const sql = "SELECT json_extract_string(fields, '$.region.name') FROM events WHERE fields IS NOT NULL ORDER BY id";
  assert.deepEqual(runSql([{ sql, parameters: [] }])[0]?.[0], ['eu']);
});

test('Athena is given these queries, these columns, and partitions that need no upkeep', () => {
  const named = resources(template('prod'), 'AWS::Athena::NamedQuery').map(({ Properties }) => Properties);
  assert.deepEqual(named.map(({ Name }) => Name).sort(), [...QUERIES].sort());
  const events = resource(template('prod'), 'AWS::Glue::Table', 'Sqlevents').Properties.TableInput;
  const { Parameters, StorageDescriptor, PartitionKeys } = events;
  assert.deepEqual(
    PartitionKeys.map(({ Name, Type }: Json) => [Name, Type]),
    [
      ['dt', 'string'],
      ['hr', 'string'],
    ],
  );
  assert.equal(Parameters['projection.enabled'], 'true');
  assert.equal(Parameters['projection.dt.type'], 'date');
  assert.equal(Parameters['projection.dt.format'], 'yyyy-MM-dd');
  assert.equal(Parameters['projection.dt.range'], '2026-01-01,NOW');
  assert.match(Parameters['projection.hr.values'], /^00,01,02,.*,23$/);
  assert.equal(StorageDescriptor.SerdeInfo.SerializationLibrary, 'org.openx.data.jsonserde.JsonSerDe');
  const group = resource(template('prod'), 'AWS::Athena::WorkGroup', 'Sql').Properties.WorkGroupConfiguration;
  assert.equal(group.EnforceWorkGroupConfiguration, true);
  assert.equal(group.ResultConfiguration.EncryptionConfiguration.EncryptionOption, 'SSE_S3');
});

type Rows = Json[][];

function run(...queries: [(typeof QUERIES)[number], ...string[]][]): Rows[] {
  return runSql(queries.map(([name, ...parameters]) => ({ sql: query(name), parameters })));
}

function runSql(queries: { sql: string; parameters: string[] }[]): Rows[] {
  const columns = ({ columns }: TableContract) =>
    Object.fromEntries(columns.map(({ name, type }) => [name, type === 'int' ? 'INTEGER' : 'VARCHAR']));
  const archive = join(__dirname, 'archive');
  const tables = {
    events: { files: `${archive}/events/*/*/*.ndjson.gz`, columns: columns(CONTRACT.tables.events) },
    errors: { files: `${archive}/errors/*/*.ndjson`, columns: columns(CONTRACT.tables.errors) },
  };
  const python = join(__dirname, '..', '.venv', 'bin', 'python');
  const input = JSON.stringify({ tables, queries });
  const ran = spawnSync(python, [join(__dirname, 'duckdb_query.py')], { input, encoding: 'utf8' });
  if (ran.error)
    throw new Error(`${python} does not run: use \`make test-cdk\`, which installs it`, { cause: ran.error });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout);
}
