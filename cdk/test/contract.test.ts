import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { CONTRACT, type FunctionName, type Permission } from '../lib/contract';
import { StageMetrics } from '../lib/metrics';
import { dispatchTemplate, list, readingTemplate, resource, STAGES, template, type Json } from './stack';

// The stack is made from the contract. These tests check the templates where something else could add to it or leave it out.

// The dispatcher is in `dispatch.test.ts`.
const FUNCTIONS: Record<Exclude<FunctionName, 'dispatch'>, string> = {
  ingest: 'Ingest',
  drain: 'SpillDrain',
  consumer: 'Consumer',
};

for (const stage of STAGES) {
  for (const [name, id] of Object.entries(FUNCTIONS) as [FunctionName, string][]) {
    const { variables, permissions } = CONTRACT.functions[name];

    test(`${stage}: ${name} gets the variables that it reads and no others`, () => {
      const { Variables } = resource(template(stage), 'AWS::Lambda::Function', id).Properties.Environment;
      assert.deepEqual(Object.keys(Variables).sort(), [CONTRACT.metrics.stageVariable, ...variables].sort());
      assert.equal(Variables[CONTRACT.metrics.stageVariable], stage);
    });

    test(`${stage}: the role of ${name} allows its permissions and no others`, () => {
      const { Statement } = resource(template(stage), 'AWS::IAM::Policy', id).Properties.PolicyDocument;
      const allowed = Statement.flatMap(({ Effect, Action, Resource }: Json) =>
        list<string>(Action).flatMap((action) =>
          list<Json>(Resource).map((on) => `${Effect} ${action} ${JSON.stringify(on)}`),
        ),
      );
      // X-Ray's are added where the stage traces.
      const always = permissions.filter(({ on }) => on !== 'everything');
      const expected = always.map(
        (permission) => `Allow ${permission.action} ${JSON.stringify(arn(template(stage), id, permission))}`,
      );
      assert.deepEqual(allowed.sort(), expected.sort());
    });
  }
}

test('where events are read back, ingest gets what it needs for it, and all functions the same overrides', () => {
  const dev = readingTemplate('dev');
  const { variables, permissions, enabledVariable } = CONTRACT.reads;
  const ofAll = [CONTRACT.metrics.stageVariable, enabledVariable];
  for (const [name, id] of Object.entries(FUNCTIONS) as [FunctionName, string][]) {
    const { Variables } = resource(dev, 'AWS::Lambda::Function', id).Properties.Environment;
    const expected = [...CONTRACT.functions[name].variables, ...(name === 'ingest' ? variables : []), ...ofAll];
    assert.deepEqual(Object.keys(Variables).sort(), expected.sort());
    assert.equal(Variables[enabledVariable], 'true');
  }
  const { Statement } = resource(dev, 'AWS::IAM::Policy', 'Ingest').Properties.PolicyDocument;
  const allowed = Statement.flatMap(({ Action, Resource }: Json) =>
    list<string>(Action).flatMap((action) => list<Json>(Resource).map((on) => `${action} ${JSON.stringify(on)}`)),
  );
  for (const permission of permissions) {
    const expected = `${permission.action} ${JSON.stringify(arn(dev, 'Ingest', permission))}`;
    assert.ok(allowed.includes(expected), expected);
  }
});

/** The ARN in the template of the resource that a permission is for. */
function arn(template: Template, functionId: string, { on, prefix }: Permission): Json {
  const of = (type: string, id: string) => ({ 'Fn::GetAtt': [resource(template, type, id).id, 'Arn'] });
  switch (on) {
    case 'stream':
      return of('AWS::Kinesis::Stream', 'Events');
    case 'items':
      return of('AWS::DynamoDB::Table', 'Items');
    case 'itemsByTime':
      return { 'Fn::Join': ['', [of('AWS::DynamoDB::Table', 'Items'), `/index/${CONTRACT.items.index.name}`]] };
    case 'ledger':
      return of('AWS::DynamoDB::Table', 'Ledger');
    case 'bucket':
      return of('AWS::S3::Bucket', 'Archive');
    case 'objects':
      return { 'Fn::Join': ['', [of('AWS::S3::Bucket', 'Archive'), `/${prefix}*`]] };
    case 'spillQueue':
      return of('AWS::SQS::Queue', 'SpillQueue');
    case 'logs':
      return of('AWS::Logs::LogGroup', functionId);
    case 'everything':
      return '*';
    default:
      throw new Error(`no function without dispatch needs ${on}`);
  }
}

test('the dashboard shows every metric of the functions', () => {
  const dashboard = JSON.stringify(resource(dispatchTemplate(), 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties);
  const { namespace, dimension, all } = CONTRACT.metrics;
  const missing = all.filter(
    ({ name }) => !dashboard.includes(`\\"${namespace}\\",\\"${name}\\",\\"${dimension}\\",\\"prod\\"`),
  );
  assert.deepEqual(missing, []);
});

test('a metric that no function emits is refused by name', () => {
  assert.throws(
    () => new StageMetrics('dev').metric('Freshnes', 'p99'),
    /no function emits the metric `Freshnes` \(known: .*Freshness/,
  );
});

test('the numbers of functions, stream and queues in the template are those of the contract', () => {
  const dev = template('dev');
  const { consumer, spill, stream } = CONTRACT;
  const { MemorySize, Timeout } = resource(dev, 'AWS::Lambda::Function', 'Consumer').Properties;
  assert.deepEqual([MemorySize, Timeout], [consumer.memoryMb, consumer.timeoutSeconds.default]);
  assert.equal(resource(dev, 'AWS::Lambda::Function', 'SpillDrain').Properties.Timeout, spill.drainTimeoutSeconds);
  assert.equal(
    resource(dev, 'AWS::Kinesis::Stream', 'Events').Properties.RetentionPeriodHours * 3_600,
    stream.retentionSeconds,
  );
  const queue = resource(dev, 'AWS::SQS::Queue', 'SpillQueue').Properties;
  assert.deepEqual(
    [
      queue.MaximumMessageSize,
      queue.VisibilityTimeout,
      queue.MessageRetentionPeriod,
      queue.RedrivePolicy.maxReceiveCount,
    ],
    [spill.messageBytes, spill.visibilitySeconds, spill.retentionSeconds, spill.receives],
  );
});

test('every prefix of the bucket has a lifecycle rule and a writer', () => {
  const { Rules } = resource(template('prod'), 'AWS::S3::Bucket', 'Archive').Properties.LifecycleConfiguration;
  const prefixes = Rules.map(({ Prefix }: Json) => Prefix).filter((prefix?: string) => prefix !== undefined);
  const ruled = [...new Set<string>(prefixes)];
  const { archive, temporary } = CONTRACT.prefixes;
  assert.deepEqual(ruled.sort(), [...archive, ...temporary, 'queries/'].sort());

  const permissions = Object.values(CONTRACT.functions).flatMap(({ permissions }) => permissions);
  const written = permissions.filter(({ action }) => action === 's3:PutObject').map(({ prefix }) => prefix ?? '');
  for (const prefix of written) assert.ok(ruled.includes(prefix), `${prefix} has no lifecycle rule`);
  // An operator writes it by `tidegate redrive`.
  const byFunctions = [...archive, ...temporary].filter((prefix) => prefix !== 'redriven/');
  for (const prefix of byFunctions) assert.ok(written.includes(prefix), `no function writes ${prefix}`);
});

test('the tables of SQL have the columns of the lines that they read', () => {
  for (const [name, { prefix, columns }] of Object.entries(CONTRACT.tables)) {
    const { StorageDescriptor } = resource(template('prod'), 'AWS::Glue::Table', `Sql${name}`).Properties.TableInput;
    const found = StorageDescriptor.Columns.map(({ Name, Type }: Json) => [Name, Type]);
    assert.deepEqual(
      found,
      columns.map(({ name, type }) => [name, type]),
    );
    assert.ok(JSON.stringify(StorageDescriptor.Location).includes(`/${prefix}`), prefix);
  }
});
