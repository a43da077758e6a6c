import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { PREFIXES } from '../lib/constructs/archive-bucket';
import { ERROR_COLUMNS, EVENT_COLUMNS } from '../lib/constructs/archive-sql';
import { CONSUMER_TIMEOUT, LEAST_DAYS_TO_LIVE, MAPPING, ROOT, readSettings, settings } from '../lib/settings';
import { type Json, resource, resources, source, template } from './stack';

// What is said twice, once in Rust and once here, is compared.

test('the functions are given the variables that they read', () => {
  check('ingest-fn', 'ENVIRONMENT', 'DoorIngest');
  check('ingest-fn', 'REDRIVER_ENVIRONMENT', 'SpillRedriver');
  check('consumer-fn', 'ENVIRONMENT', 'StoreConsumer');

  function check(crate: string, constant: string, id: string): void {
    const list = new RegExp(`const ${constant}: [^=]*=\\s*&?\\[([^\\]]*)\\]`).exec(
      source(`${crate}/src/environment.rs`),
    )?.[1];
    const { Variables } = resource(template('dev'), 'AWS::Lambda::Function', id).Properties.Environment;
    const read = texts(list ?? '');
    assert.deepEqual(read.sort(), Object.keys(Variables).sort(), `${constant} of ${crate}`);
  }
});

test('roles allow the calls that the functions make', () => {
  check('ingest-fn', ['DoorIngest', 'SpillRedriver']);
  check('consumer-fn', ['StoreConsumer']);

  function check(crate: string, roles: string[]): void {
    const granted = roles.flatMap((id) => {
      const { Statement } = resource(template('dev'), 'AWS::IAM::Policy', id).Properties.PolicyDocument;
      return Statement.flatMap(({ Action }: Json) => Action);
    });
    for (const file of rustFiles(`${crate}/src`)) {
      for (const [, call] of source(file).matchAll(/\.(\w+)\(\)/g)) {
        for (const action of CALLS[call ?? ''] ?? []) assert.ok(granted.includes(action), `${file}: ${call}`);
      }
    }
  }
});

test('a role allows what its function states, and nothing else', () => {
  check('ingest-fn', 'PERMISSIONS', 'DoorIngest');
  check('ingest-fn', 'REDRIVER_PERMISSIONS', 'SpillRedriver');
  check('consumer-fn', 'PERMISSIONS', 'StoreConsumer');

  function check(crate: string, constant: string, id: string): void {
    const list = captured(
      source(`${crate}/src/environment.rs`),
      new RegExp(`const ${constant}: &\\[Permission\\] = &\\[([\\s\\S]*?)\\n\\];`),
    );
    const stated = [...list.matchAll(/new\("([a-z0-9]+:\w+)", On::(\w+)(?:\("([a-z/]+)"\))?\)/g)].map(
      ([, action, on, prefix]) => `${action} ${on}${prefix === undefined ? '' : ` ${prefix}`}`,
    );
    const { Statement } = resource(template('dev'), 'AWS::IAM::Policy', id).Properties.PolicyDocument;
    const allowed = Statement.flatMap(({ Action, Resource }: Json) =>
      [Action].flat().flatMap((action: string) => [Resource].flat().map((on: Json) => `${action} ${named(on)}`)),
    );
    assert.deepEqual([...stated].sort(), allowed.sort(), `${constant} of ${crate}`);
  }

  /** A resource of the template, as the functions call it. */
  function named(resource: Json): string {
    const text = JSON.stringify(resource);
    const prefix = /\]?,?"?\/([a-z/]+\/)\*/.exec(text)?.[1];
    if (prefix !== undefined) return `Objects ${prefix}`;
    const [, name] = Object.entries(RESOURCES).find(([id]) => text.includes(`"${id}`)) ?? [];
    assert.ok(name !== undefined, text);
    return name;
  }
});

/** By the beginning of a logical id. */
const RESOURCES = {
  EventsStream: 'Stream',
  ItemsTable: 'Items',
  LedgerTable: 'Ledger',
  ArchiveBucket: 'Bucket',
  SpillQueue: 'SpillQueue',
  DoorIngestLogs: 'Logs',
  SpillRedriverLogs: 'Logs',
  StoreConsumerLogs: 'Logs',
  '*': 'Everything',
};

/** What a call of the SDK needs. */
const CALLS: Record<string, string[]> = {
  batch_execute_statement: ['dynamodb:PartiQLInsert'],
  batch_get_item: ['dynamodb:BatchGetItem'],
  batch_write_item: ['dynamodb:BatchWriteItem'],
  delete_item: ['dynamodb:DeleteItem'],
  get_item: ['dynamodb:GetItem'],
  put_item: ['dynamodb:PutItem'],
  query: ['dynamodb:Query'],
  transact_write_items: ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:ConditionCheckItem'],
  update_item: ['dynamodb:UpdateItem'],
  put_records: ['kinesis:PutRecords'],
  delete_object: ['s3:DeleteObject'],
  get_object: ['s3:GetObject'],
  head_object: ['s3:GetObject'],
  list_objects_v2: ['s3:ListBucket'],
  put_object: ['s3:PutObject'],
  send_message: ['sqs:SendMessage'],
  send_message_batch: ['sqs:SendMessage'],
};

function rustFiles(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.rs')).map((name) => `${folder}/${name}`);
}

test('the dashboard and the alarms name metrics that the functions emit, and the dashboard all of them', () => {
  const emitted = [
    ...captured(source('shared/src/metric.rs'), /^metrics! \{\n([\s\S]*?)^\}/m).matchAll(/^ {4}(\w+): \w+, \w+;/gm),
  ];
  const names = emitted.map(([, name]) => name).sort();
  assert.ok(names.length >= 16, 'the list of metrics was read');
  const dashboard = JSON.stringify(resource(template('prod'), 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties);
  const shown = [...dashboard.matchAll(/\\"Tidegate\\",\\"(\w+)\\"/g)].map(([, name]) => name);
  assert.deepEqual([...new Set(shown)].sort(), names);
  const watched = resources(template('prod'), 'AWS::CloudWatch::Alarm').map(({ Properties }) => Properties);
  for (const { Namespace, MetricName } of watched.filter(({ Namespace }) => Namespace === 'Tidegate')) {
    assert.ok(names.includes(MetricName), `${Namespace} ${MetricName}`);
  }
});

test('the namespace is the one in which the functions emit', () => {
  assert.equal(captured(source('shared/src/metric.rs'), /NAMESPACE: &str = "(\w+)"/), 'Tidegate');
});

test('AWS is told to feed the consumer as the local run and its tests do', () => {
  const rules = captured(
    source('shared/src/mapping.rs'),
    /impl Default for Rules \{([\s\S]*?)\n\}/,
  );
  const number = (pattern: RegExp) => Number(captured(rules, pattern).replaceAll('_', ''));
  assert.equal(number(/batch_size: ([\d_]+)/), MAPPING.batchSize);
  assert.equal(number(/batching_window: Duration::from_secs\((\d+)\)/), MAPPING.window.toSeconds());
  assert.equal(number(/maximum_retry_attempts: Some\((\d+)\)/), MAPPING.retryAttempts);
  assert.equal(number(/maximum_record_age: Some\(Duration::from_hours\((\d+)\)\)/), MAPPING.maxRecordAge.toHours());
  assert.match(rules, /bisect_on_error: true/);
  assert.match(rules, /report_batch_item_failures: true/);
});

test('what the functions take for deployed, and `tidegate doctor` asks for, is what the stack sets', () => {
  const limits = source('shared/src/limits.rs');
  const redrive = source('ingest-fn/src/redrive.rs');
  const number = (text: string, pattern: RegExp) => Number(captured(text, pattern).replaceAll('_', ''));
  const stack = template('dev');
  const stream = resource(stack, 'AWS::Kinesis::Stream', 'EventsStream').Properties;
  assert.equal(
    number(limits, /STREAM_RETENTION: Duration = Duration::from_hours\((\d+)\)/),
    stream.RetentionPeriodHours,
  );
  const consumer = resource(stack, 'AWS::Lambda::Function', 'StoreConsumer').Properties;
  assert.equal(number(limits, /PROCESSOR_MB: u64 = ([\d_]+)/), consumer.MemorySize);
  const { publish } = parse(source('tidegate.toml')) as unknown as { publish: Record<string, number> };
  const { payload_ms = 0, budget_ms = 0, spill_ms = 0 } = publish;
  const budgets = Math.ceil((payload_ms + budget_ms + spill_ms) / 1000);
  const answer = number(limits, /ANSWER: Duration = Duration::from_secs\((\d+)\)/);
  assert.equal(budgets + answer, resource(stack, 'AWS::Lambda::Function', 'DoorIngest').Properties.Timeout);
  const redriver = resource(stack, 'AWS::Lambda::Function', 'SpillRedriver').Properties;
  assert.equal(number(redrive, /TIMEOUT: Duration = Duration::from_secs\((\d+)\)/), redriver.Timeout);
  const queue = resource(stack, 'AWS::SQS::Queue', 'SpillQueue').Properties;
  assert.equal(number(redrive, /VISIBILITY: Duration = Duration::from_mins\((\d+)\)/) * 60, queue.VisibilityTimeout);
  assert.equal(number(redrive, /RECEIVES: u32 = (\d+)/), queue.RedrivePolicy.maxReceiveCount);
});

test('the spill queue takes the messages that the functions make', () => {
  const bytes = captured(source('shared/src/limits.rs'), /MESSAGE_BYTES: usize = ([\d_* ]+);/);
  const product = bytes.split('*').reduce((product, factor) => product * Number(factor.trim().replaceAll('_', '')), 1);
  const queue = resource(template('dev'), 'AWS::SQS::Queue', 'SpillQueue').Properties;
  assert.equal(queue.MaximumMessageSize, product);
});

test('roles and lifecycle name the prefixes that the functions write', () => {
  const written = [...source('shared/src/key.rs').matchAll(/format!\("([a-z_]+\/)\{/g)].map(
    ([, prefix]) => prefix ?? '',
  );
  const objects = written.filter((prefix) => !KEYS_OF_ROWS.includes(prefix));
  assert.ok(objects.length >= 4, 'the prefixes were read');
  for (const prefix of objects) assert.ok(Object.values<string>(PREFIXES).includes(prefix), prefix);
});

/** Not names of objects, but keys of items and of the ledger's rows. */
const KEYS_OF_ROWS = ['tenants/', 'processed_logs/', 'shard/', 'object/'];

test('the table of items is keyed, indexed and expired by attributes that items have', () => {
  const attributes = source('consumer-fn/src/items/attributes.rs');
  const named = (constant: string) => captured(attributes, new RegExp(`const ${constant}: &str = "(\\w+)"`));
  const { Properties } = resource(template('dev'), 'AWS::DynamoDB::Table', 'ItemsTable');
  const [index, ...others] = Properties.GlobalSecondaryIndexes;
  assert.deepEqual(others, []);
  assert.equal(index.IndexName, named('BY_RECEIVED_AT'));
  assert.deepEqual(keys(index.KeySchema), [named('RECEIVED_PARTITION'), named('RECEIVED_AT')]);
  assert.equal(Properties.TimeToLiveSpecification.AttributeName, named('EXPIRES_AT'));
  for (const key of keys(Properties.KeySchema)) assert.match(attributes, new RegExp(`\\("${key}", Text\\(`));

  function keys(schema: Json[]): string[] {
    return schema.map(({ AttributeName }) => AttributeName);
  }
});

test('the role that reads a tenant is allowed the partitions that its items are written to', () => {
  const spread = source('shared/src/partition.rs');
  const items = captured(source('shared/src/key.rs'), /fn item_partition[\s\S]*?format!\("(\w+\/)\{tenant\}"\)/);
  const index = captured(spread, /fn received_partition[\s\S]*?format!\("(\w+\/)\{\}", partition_key\(/);
  const separator = captured(spread, /fn partition_key[\s\S]*?format!\("\{tenant\}(.)\{\}"/);
  const { PolicyDocument } = resource(template('dev'), 'AWS::IAM::Policy', 'Reader').Properties;
  const [{ Condition }] = PolicyDocument.Statement;
  const tag = `\${aws:PrincipalTag/tenant}`;
  assert.equal(index, items);
  assert.deepEqual(Condition['ForAllValues:StringLike']['dynamodb:LeadingKeys'], [
    `${items}${tag}`,
    `${index}${tag}${separator}*`,
  ]);
});

test('the tables of SQL have the columns that lines have, in their order', () => {
  assert.deepEqual(
    members('consumer-fn/src/archive/line.rs'),
    EVENT_COLUMNS.map(({ name }) => name),
  );
  assert.deepEqual(
    members('consumer-fn/src/quarantine.rs'),
    ERROR_COLUMNS.map(({ name }) => name),
  );

  function members(file: string): string[] {
    const line = captured(source(file), /^struct Line<'a> \{([\s\S]*?)^\}/m);
    return [...line.matchAll(/^ {4}(\w+): /gm)].map(([, name]) => name ?? '');
  }
});

test('every function is packed with the configuration that the stack was made from', () => {
  const assets = resource(template('dev'), 'AWS::Lambda::Function', 'StoreConsumer').Properties.Code;
  assert.ok(assets.S3Key);
  const tiers = (parse(source('tidegate.toml')) as Json).items.days_to_live;
  assert.deepEqual(readSettings().daysToLive, tiers);
});

test('a tier whose items would not outlive what may come again is refused', () => {
  const toml = source('tidegate.toml').replace(/^free = \d+$/m, 'free = 3');
  assert.throws(() => settings(toml), /items\.days_to_live\.free is 3, but an event may come again 19 days after/);
  assert.equal(LEAST_DAYS_TO_LIVE, 1 + 4 + 14);
});

test('the consumer has as long for a run as on the local run', () => {
  const pipeline = source('shared/src/mapping.rs');
  const minutes = captured(pipeline, /CONSUMER_TIMEOUT: Duration = Duration::from_mins\((\d+)\)/);
  assert.equal(CONSUMER_TIMEOUT.toMinutes(), Number(minutes));
});

test('every alarm has its runbook, which says when it fires, ends in one command, and is in the list', () => {
  const alarms = resources(template('prod'), 'AWS::CloudWatch::Alarm').map(({ Properties }) => Properties);
  const named = alarms.map(({ AlarmDescription, DatapointsToAlarm: bad, EvaluationPeriods: of }) => {
    const page = captured(AlarmDescription, /Runbook: (docs\/runbooks\/[a-z-]+\.md)$/);
    assert.ok(existsSync(join(ROOT, page)), `${page} is missing`);
    const text = source(page);
    assert.match(text, /```console\n\$ [^\n]+(?: \\\n[^\n]+)*\n```\n$/, `${page} does not end in one command`);
    const name = basename(page, '.md');
    const minutes = of === 1 ? 'in any minute' : `in ${bad} of ${of} minutes`;
    assert.match(
      text,
      new RegExp(`\n\nAlarm \`${name}\`: [^\\n]* ${minutes}\\.`),
      `${page} does not say \`${minutes}\``,
    );
    assert.ok(source('docs/runbooks/README.md').includes(`(${name}.md)`), `${page} is not in the list`);
    return page;
  });
  const pages = readdirSync(join(ROOT, 'docs/runbooks')).map((page) => `docs/runbooks/${page}`);
  assert.deepEqual(
    pages.filter((page) => !named.includes(page)),
    ['docs/runbooks/README.md'],
    'pages without an alarm',
  );
});

test('the errors of every function are found by one filter: its own, and those that Lambda reports of it', () => {
  const filters = ['ingest-errors', 'redriver-errors', 'consumer-errors'].map((page) =>
    captured(source(`docs/runbooks/${page}.md`), /--filter-pattern '([^']+)'/),
  );
  const [filter] = filters;
  assert.deepEqual(new Set(filters).size, 1, filters.join('\n'));
  assert.match(
    filter ?? '',
    /\$\.level = "ERROR" \|\| \$\.type = "platform\.report" && \$\.record\.status != "success"/,
  );
});

function captured(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`nothing matches ${pattern}`);
  return found;
}

function texts(list: string): string[] {
  return [...list.matchAll(/"([^"]+)"/g)].map(([, text]) => text ?? '');
}
