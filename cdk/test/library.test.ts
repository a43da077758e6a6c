import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { AttributeType, Table, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Stream } from 'aws-cdk-lib/aws-kinesis';
import { Key } from 'aws-cdk-lib/aws-kms';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { Bucket, BucketEncryption } from 'aws-cdk-lib/aws-s3';
import {
  createSourceFile,
  type InterfaceDeclaration,
  isInterfaceDeclaration,
  isPropertySignature,
  ScriptTarget,
} from 'typescript';
import { CONTRACT } from '../lib/contract';
import { FunctionAssets, Tidegate, type TidegateProps } from '../lib/index';
import { writeDist } from '../scripts/package';
import { app, folder, type Json, list, nag, resource, resources, source, template } from './stack';

// Tidegate as a library, in another app.

const CDK = join(__dirname, '..');
const assets = FunctionAssets.placeholder();
const ingest = { auth: FunctionUrlAuthType.AWS_IAM };

let second: string | undefined;

/** A copy of the second app with the packed package in it. */
function secondApp(): string {
  if (second !== undefined) return second;
  const packed = folder();
  cpSync(join(CDK, 'package.json'), join(packed, 'package.json'));
  writeDist(packed);
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', packed], packed);
  const [file = ''] = readdirSync(packed).filter((name) => name.endsWith('.tgz'));
  const made = folder();
  cpSync(join(__dirname, 'second-app'), made, { recursive: true });
  const installed = join(made, 'node_modules', 'tidegate-cdk');
  mkdirSync(installed, { recursive: true });
  run('tar', ['--extract', '--file', join(packed, file), '--strip-components', '1', '--directory', installed], made);
  // Without the network: what the package depends on is that of this one.
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(CDK, 'package.json'), 'utf8'));
  for (const name of Object.keys({ ...dependencies, ...peerDependencies })) {
    symlinkSync(join(CDK, 'node_modules', name), join(made, 'node_modules', name));
  }
  const tsx = join(CDK, 'node_modules', 'tsx', 'dist', 'loader.mjs');
  run(process.execPath, ['--import', tsx, 'app.ts'], made, { CDK_OUTDIR: join(made, 'cdk.out') });
  second = made;
  return made;
}

function run(command: string, given: string[], cwd: string, variables: Record<string, string> = {}): void {
  const { status, stderr } = spawnSync(command, given, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ...variables },
  });
  assert.equal(status, 0, `${command}: ${stderr}`);
}

function synthesized(): Template {
  return Template.fromJSON(JSON.parse(readFileSync(join(secondApp(), 'cdk.out', 'Shop.template.json'), 'utf8')));
}

test('a second app imports the packed package by its name, and synthesizes two deployments in one stack', () => {
  const shop = synthesized();
  assert.equal(resources(shop, 'AWS::Lambda::EventSourceMapping').length, 4);
  for (const type of ['AWS::Glue::Database', 'AWS::Athena::WorkGroup', 'AWS::CloudWatch::Dashboard']) {
    const names = resources(shop, type).map(({ Properties }) =>
      JSON.stringify(Properties.DatabaseInput?.Name ?? Properties.Name ?? Properties.DashboardName),
    );
    assert.equal(new Set(names).size, 2, `${type}: ${names.join(' ')}`);
  }
  const names = resources(shop, 'AWS::Lambda::Function').map(
    ({ id, Properties }) => [id.replace(/[A-Z][a-z]+Function.*$/, ''), stageOf(Properties)] as const,
  );
  const { Events, EventsSpill, ...audit } = Object.fromEntries(names);
  assert.match(Events ?? '', /^shop-events-[0-9a-f]{8}$/);
  assert.equal(EventsSpill, Events);
  assert.deepEqual(audit, { Audit: 'shop-audit', AuditSpill: 'shop-audit' });
  const { Outputs } = shop.toJSON();
  for (const output of Object.keys(template('dev').toJSON().Outputs)) {
    for (const id of ['Events', 'Audit']) assert.ok(`${id}${output}` in Outputs, `${id}${output}`);
  }
});

function stageOf({ Environment }: Json): string {
  return Environment.Variables[CONTRACT.metrics.stageVariable];
}

test('the second app gives its own bucket and stream to the first, and none is made for it', () => {
  const shop = synthesized();
  const ids = (type: string) => resources(shop, type).map(({ id }) => id.replace(/[0-9A-F]{8}$/, ''));
  assert.deepEqual(ids('AWS::S3::Bucket'), ['Lake', 'AuditArchiveBucket']);
  assert.deepEqual(ids('AWS::Kinesis::Stream'), ['Clicks', 'AuditEventsStream']);
  const lake = resource(shop, 'AWS::S3::Bucket', 'Lake');
  const clicks = resource(shop, 'AWS::Kinesis::Stream', 'Clicks');
  const mapping = resource(shop, 'AWS::Lambda::EventSourceMapping', 'EventsConsumerMapping').Properties;
  assert.deepEqual(mapping.EventSourceArn, { 'Fn::GetAtt': [clicks.id, 'Arn'] });
  assert.deepEqual(mapping.DestinationConfig.OnFailure.Destination, { 'Fn::GetAtt': [lake.id, 'Arn'] });
  const { Variables } = resource(shop, 'AWS::Lambda::Function', 'EventsIngestFunction').Properties.Environment;
  assert.deepEqual([Variables.TIDEGATE_BUCKET, Variables.TIDEGATE_STREAM], [{ Ref: lake.id }, { Ref: clicks.id }]);
  const prefixes = lake.Properties.LifecycleConfiguration.Rules.map(({ Prefix }: Json) => Prefix);
  for (const prefix of CONTRACT.prefixes.temporary) assert.ok(prefixes.includes(prefix), prefix);
  // Claim checks wait for as long as the stream has records.
  const claims = lake.Properties.LifecycleConfiguration.Rules.find(({ Prefix }: Json) => Prefix === 'claims/');
  assert.equal(claims.ExpirationInDays, 210 + 2 + 4 + 14);
  // A rule of the whole bucket would meet the owner's own objects.
  assert.ok(prefixes.every((prefix?: string) => prefix !== undefined));
});

test('the functions may use the keys of what is given to them', () => {
  const within = app();
  const made = new Stack(within, 'Shop');
  const encryptionKey = new Key(made, 'Key');
  const bucket = new Bucket(made, 'Lake', { encryption: BucketEncryption.KMS, encryptionKey });
  const stream = Stream.fromStreamAttributes(made, 'Clicks', {
    streamArn: 'arn:aws:kinesis:eu-west-1:123456789012:stream/clicks',
    encryptionKey: Key.fromKeyArn(made, 'Theirs', 'arn:aws:kms:eu-west-1:123456789012:key/1234abcd'),
  });
  const { lifecycleRules } = tidegate(made, { existingBucket: bucket, existingStream: stream });
  lifecycleRules.forEach((rule) => {
    bucket.addLifecycleRule(rule);
  });
  const of = Template.fromStack(made);
  for (const id of ['EventsIngest', 'EventsSpillDrain', 'EventsConsumer']) {
    const { Statement } = resource(of, 'AWS::IAM::Policy', id).Properties.PolicyDocument;
    const decrypts = Statement.filter(({ Action }: Json) => list(Action).includes('kms:Decrypt'));
    assert.equal(decrypts.flatMap(({ Resource }: Json) => list(Resource)).length, 2, id);
  }
  const producers = JSON.stringify(resource(of, 'AWS::IAM::ManagedPolicy', 'EventsProducerPolicy').Properties);
  assert.match(producers, /key\/1234abcd/);
  const warnings = Annotations.fromStack(made).findWarning('*', Match.stringLikeRegexp('^existingStream: not made'));
  assert.equal(warnings.length, 1);
});

test('a deployment with a bucket of another stack passes cdk-nag', () => {
  const within = app();
  const made = new Stack(within, 'Shop');
  tidegate(made, { existingBucket: Bucket.fromBucketArn(made, 'Lake', 'arn:aws:s3:::lake') });
  assert.deepEqual(nag(within), []);
});

function tidegate(scope: Stack, props: Partial<TidegateProps>, id = 'Events'): Tidegate {
  return new Tidegate(scope, id, { assets, ingest, ...props });
}

/** What the synthesis finds wrong with what is given. */
function problems(give: (scope: Stack) => Partial<TidegateProps>): string {
  const made = new Stack(app(), 'Shop');
  tidegate(made, give(made));
  try {
    Template.fromStack(made);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

test('a bucket that deletes too early or never is refused, with its prefix and the days', () => {
  const existingBucket = (prefix: string, days: number) => (scope: Stack) => ({
    existingBucket: new Bucket(scope, 'Lake', { lifecycleRules: [{ prefix, expiration: Duration.days(days) }] }),
  });
  assert.match(
    problems(existingBucket('claims/', 30)),
    /existingBucket \(Shop\/Lake\) deletes after 30 days objects under claims\/, but it must be after 229 days: add the `lifecycleRules`/,
  );
  assert.match(problems(existingBucket('', 30)), /deletes after 30 days objects under events\/, but it must be never/);
  assert.match(
    problems(existingBucket('claims/', 229)),
    /never deletes objects under errors\/, but it must be after 180/,
  );
});

test('a stream with another retention is refused', () => {
  const stream = (scope: Stack) => new Stream(scope, 'Clicks', { retentionPeriod: Duration.hours(48) });
  assert.match(
    problems((scope) => ({ existingStream: stream(scope) })),
    /has records for 48 hours, but records\.retentionHours is 24: set it to 48/,
  );
  assert.equal(
    problems((scope) => ({ existingStream: stream(scope), records: { retentionHours: 48 } })),
    '',
  );
});

test('tables with other keys, without their time to live or index are refused; those that fit are used', () => {
  const key = (name: string) => ({ name, type: AttributeType.STRING });
  const own = { partitionKey: key('pk'), sortKey: key('sk') };
  const items = (props: object) => (scope: Stack) => ({
    existingItemsTable: new Table(scope, 'Own', { ...own, ...props }),
  });
  assert.match(
    problems(items({ sortKey: key('id') })),
    /must have the partition key `pk` and the sort key `sk`, both strings/,
  );
  assert.match(problems(items({})), /must have the time-to-live attribute `expires_at`/);
  assert.equal(problems(items({ timeToLiveAttribute: 'expires_at' })), '');
  assert.match(
    problems((scope) => ({ existingLedgerTable: new TableV2(scope, 'Own', { ...own, timeToLiveAttribute: 'ttl' }) })),
    /must have no time to live: the ledger never expires/,
  );
  const reads = { reads: true, keys: { 'reads.public': 'true' } };
  assert.match(
    problems((scope) => ({ ...items({ timeToLiveAttribute: 'expires_at' })(scope), ...reads })),
    /must have the index `by_received_at` with the keys `received_partition` and `received_at`/,
  );
  const made = new Stack(app(), 'Shop');
  tidegate(made, items({ timeToLiveAttribute: 'expires_at' })(made));
  const of = Template.fromStack(made);
  const { Variables } = resource(of, 'AWS::Lambda::Function', 'EventsConsumerFunction').Properties.Environment;
  assert.deepEqual(Variables.TIDEGATE_ITEMS_TABLE, { Ref: resource(of, 'AWS::DynamoDB::Table', 'Own').id });
});

test('two deployments share no bucket and no table, and no capacity is set for what is given', () => {
  const made = new Stack(app(), 'Shop');
  const bucket = (id: string) => Bucket.fromBucketName(made, id, 'lake');
  tidegate(made, { existingBucket: bucket('One') });
  assert.throws(() => tidegate(made, { existingBucket: bucket('Two') }, 'More'), /existingBucket is used by another/);
  const existingItemsTable = Table.fromTableName(made, 'Table', 'items');
  assert.throws(
    () => tidegate(made, { existingItemsTable, existingLedgerTable: existingItemsTable }, 'Same'),
    /are the same table: give two/,
  );
  const existingStream = Stream.fromStreamArn(made, 'Clicks', 'arn:aws:kinesis:eu-west-1:123456789012:stream/clicks');
  assert.throws(
    () => tidegate(made, { existingStream, stream: { shards: 2 } }, 'Shards'),
    /existingStream and stream exclude each other/,
  );
  assert.throws(
    () => tidegate(made, { existingBucket: bucket('Three'), archive: { objectNotifications: true } }, 'Told'),
    /existingBucket and archive\.objectNotifications exclude each other/,
  );
});

/** The props and their types, by the interface that they are in. */
function structs(): Map<string, Map<string, string>> {
  const exported = [...source('cdk/lib/index.ts').matchAll(/^ {2}type (\w+),$/gm)].map(([, name]) => name);
  const { statements } = createSourceFile('config.ts', source('cdk/lib/config.ts'), ScriptTarget.ES2022, true);
  const found = statements.filter(isInterfaceDeclaration).filter(({ name }) => exported.includes(name.text));
  assert.equal(found.length, exported.length);
  const members = (of: InterfaceDeclaration) =>
    of.members.filter(isPropertySignature).map((member) => {
      assert.match(member.getText(), /^readonly /);
      return [member.name.getText(), member.type?.getText() ?? ''] as const;
    });
  return new Map(found.map((of) => [of.name.text, new Map(members(of))]));
}

test('props are readonly, of types that jsii takes: no unions, no functions, no mapped types', () => {
  const types = /^(boolean|number|string|string\[\]|\{ \[key: string\]: string \}|[A-Z][A-Za-z]+)$/;
  for (const [name, props] of structs()) {
    for (const [prop, type] of props) assert.match(type, types, `${name}.${prop}`);
  }
});

test('every prop is in docs/library.md', () => {
  const page = source('docs/library.md');
  const all = structs();
  for (const [prop, type] of all.get('TidegateProps') ?? []) {
    const members = [...(all.get(type)?.keys() ?? [])].map((member) => `${prop}.${member}`);
    for (const name of members.length > 0 ? members : [prop]) assert.ok(page.includes(`\`${name}\``), name);
  }
});

test('what an app leaves out has the default of a stage, and what it gives is as careful', () => {
  const made = new Stack(app(), 'Shop');
  tidegate(made, { name: 'shop', records: { ageHours: 12 }, archive: { expireAfterDays: undefined } });
  const of = Template.fromStack(made);
  const mapping = resource(of, 'AWS::Lambda::EventSourceMapping', 'EventsConsumerMapping').Properties;
  assert.equal(mapping.MaximumRecordAgeInSeconds, 12 * 3600);
  assert.equal(resource(of, 'AWS::Kinesis::Stream', 'Events').Properties.RetentionPeriodHours, 24);
  assert.equal(resource(of, 'AWS::DynamoDB::Table', 'EventsItems').Properties.DeletionProtectionEnabled, true);
  assert.throws(() => new Tidegate(made, 'Open', { assets }), /would be public/);
  assert.throws(() => tidegate(made, { name: 'Shop' }, 'Named'), /name `Shop` is not allowed/);
});
