import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { removeWhatEmulatorsLack } from '../bin/lacking';
import { Template } from 'aws-cdk-lib/assertions';
import { StreamMode } from 'aws-cdk-lib/aws-kinesis';
import {
  type AlarmJson,
  alarms,
  DISPATCH,
  dispatchTemplate,
  type Json,
  resource,
  resources,
  STAGES,
  type StageName,
  readingTemplate,
  source,
  stack,
  template,
  withDispatch,
  withPublicReads,
} from './stack';

// The alarms, and whether they can fire: an alarm that never fires looks like an alarm without a reason.

const CANARY_MINUTES = 10;
/** Metrics are complete after some minutes. */
const METRIC_DELAY_MINUTES = 3;

for (const stage of STAGES) {
  test(`${stage}: every alarm evaluates single minutes, but records may arrive on the stream once in five`, () => {
    for (const { name, metrics } of alarms(template(stage))) {
      for (const { Period } of metrics) assert.equal(Period, name === 'stream-unread' ? 300 : 60, name);
    }
  });

  test(`${stage}: an event that happens once fires in its first minute, a lasting condition after two minutes of three`, () => {
    const rules = Object.fromEntries(
      alarms(template(stage)).map(({ name, DatapointsToAlarm, EvaluationPeriods }) => [
        name,
        [DatapointsToAlarm, EvaluationPeriods] as const,
      ]),
    );
    const { quarantine, 'failed-batches': failed, 'dropped-records': dropped, ...others } = rules;
    assert.deepEqual([quarantine, failed, dropped], [ONCE, ONCE, ONCE]);
    const { 'spill-stuck': stuck, 'stream-unread': unread, 'drain-errors': drain, ...lasting } = others;
    assert.deepEqual(stuck, [15, 15]);
    assert.deepEqual(unread, [3, 3]);
    // A message that crashes the drain is received again after the visibility time-out: twice within these minutes.
    const { VisibilityTimeout } = resource(template(stage), 'AWS::SQS::Queue', 'SpillQueue').Properties;
    assert.ok(drain !== undefined);
    const [bad, of] = drain;
    assert.ok(bad === 2 && of * 60 > 2 * VisibilityTimeout, `${bad} of ${of}`);
    for (const [name, minutes] of Object.entries(lasting)) assert.deepEqual(minutes, [2, 3], name);
  });

  test(`${stage}: the topic's policy, which replaces SNS's default, lets alarms publish`, () => {
    const topic = resource(template(stage), 'AWS::SNS::Topic', 'Monitoring').id;
    const { Topics, PolicyDocument } = resource(template(stage), 'AWS::SNS::TopicPolicy', 'Monitoring').Properties;
    assert.deepEqual(Topics, [{ Ref: topic }]);
    const [allowed, ...others] = PolicyDocument.Statement.filter(({ Effect }: Json) => Effect === 'Allow');
    assert.deepEqual(others, []);
    assert.deepEqual(allowed, {
      Sid: 'AlarmsOfThisAccount',
      Effect: 'Allow',
      Principal: { Service: 'cloudwatch.amazonaws.com' },
      Action: 'sns:Publish',
      Resource: { Ref: topic },
      Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
    });
    assert.ok(PolicyDocument.Statement.some(({ Effect, Condition }: Json) => Effect === 'Deny' && Condition.Bool));
  });

  test(`${stage}: throttled writes are those of the table, and those of the index where there is one`, () => {
    const plain = alarmOf(stage, 'items-throttled');
    assert.deepEqual([plain.Expression, plain.metrics.length], [undefined, 1]);
    const withIndex = readingTemplate(stage);
    const { Expression, metrics } = alarmIn(withIndex, 'items-throttled');
    assert.equal(Expression, 'FILL(first, 0) + FILL(second, 0)');
    const table = resource(withIndex, 'AWS::DynamoDB::Table', 'Items');
    const [index] = table.Properties.GlobalSecondaryIndexes;
    assert.deepEqual(
      metrics.map(({ MetricName, Dimensions }) => [MetricName, named(Dimensions)]),
      [
        ['WriteThrottleEvents', { TableName: { Ref: table.id } }],
        ['WriteThrottleEvents', { TableName: { Ref: table.id }, GlobalSecondaryIndexName: index.IndexName }],
      ],
    );
    // The runbook warms up both.
    assert.ok(source('docs/runbooks/items-throttled.md').includes(`"IndexName":"${index.IndexName}"`));
  });

  test(`${stage}: the spill queue is stuck while any message waits or is hidden, however often it was received`, () => {
    const { Expression, metrics, Threshold } = alarmOf(stage, 'spill-stuck');
    assert.deepEqual([Expression, Threshold], ['FILL(first, 0) + FILL(second, 0)', 0]);
    assert.deepEqual(
      metrics.map(({ MetricName }) => MetricName),
      ['ApproximateNumberOfMessagesVisible', 'ApproximateNumberOfMessagesNotVisible'],
    );
  });
}

test('every alarm notifies the topic when it fires and when it clears, and missing data is good', () => {
  for (const stage of STAGES) {
    const topic = resource(template(stage), 'AWS::SNS::Topic', 'Monitoring').id;
    for (const { name, AlarmActions, OKActions, TreatMissingData } of alarms(template(stage))) {
      const told = [{ Ref: topic }];
      assert.deepEqual([AlarmActions, OKActions, TreatMissingData], [told, told, 'notBreaching'], name);
    }
  }
});

test('the stream is unread while records arrive and the mapping invokes the consumer with none', () => {
  for (const stage of STAGES) {
    const { Expression, metrics, Threshold } = alarmOf(stage, 'stream-unread');
    assert.deepEqual([Expression, Threshold], ['IF(FILL(arrived, 0) > 0 AND FILL(invoked, 0) < 1, 1, 0)', 0]);
    const mapping = resource(template(stage), 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping');
    const stream = resource(template(stage), 'AWS::Kinesis::Stream', 'Events');
    assert.deepEqual(
      metrics.map(({ Namespace, MetricName, Dimensions, Stat }) => [Namespace, MetricName, named(Dimensions), Stat]),
      [
        ['AWS/Lambda', 'InvokedEventCount', { EventSourceMappingUUID: { Ref: mapping.id } }, 'Sum'],
        ['AWS/Kinesis', 'IncomingRecords', { StreamName: { Ref: stream.id } }, 'Sum'],
      ],
    );
    // Without it, the mapping has no metric of events.
    assert.deepEqual(mapping.Properties.MetricsConfig, { Metrics: ['EventCount'] });
  }
});

test('a consumer that gets no concurrency fires its own alarm', () => {
  for (const stage of STAGES) {
    const { Threshold, metrics } = alarmOf(stage, 'consumer-throttled');
    const consumer = resource(template(stage), 'AWS::Lambda::Function', 'Consumer').id;
    assert.equal(Threshold, 0);
    assert.deepEqual(
      metrics.map(({ MetricName, Dimensions }) => [MetricName, named(Dimensions)]),
      [['Throttles', { FunctionName: { Ref: consumer } }]],
    );
  }
});

test('without what emulators lack there is no saved query, and every alarm evaluates one metric, the first of its own', () => {
  const made = stack('dev', { reads: true, dispatch: DISPATCH }, undefined, withDispatch());
  const before = alarms(dispatchTemplate());
  removeWhatEmulatorsLack(made);
  const of = Template.fromStack(made);
  of.resourceCountIs('AWS::Athena::NamedQuery', 0);
  of.resourceCountIs('AWS::Athena::WorkGroup', 1);
  const found = resources(of, 'AWS::CloudWatch::Alarm');
  assert.equal(found.length, before.length);
  for (const { id, Properties } of found) assert.ok(Properties.MetricName && !Properties.Metrics, id);
  const { metrics, Expression } = alarmIn(of, 'spill-stuck');
  assert.equal(Expression, undefined);
  assert.deepEqual(
    metrics.map(({ MetricName, Period }) => [MetricName, Period]),
    [['ApproximateNumberOfMessagesVisible', 60]],
  );
  // Alone, records that arrive would fire it. Emulators have no metrics of mappings.
  assert.equal(alarmIn(of, 'stream-unread').metrics[0]?.MetricName, 'InvokedEventCount');
});

test('a put counts as slow before its attempt is cut off', () => {
  const { publish } = parse(source('tidegate.toml')) as unknown as { publish: Record<string, number> };
  const { Threshold, metrics } = alarmOf('prod', 'publish-latency');
  assert.ok(Threshold > 0 && Threshold < (publish.attempt_ms ?? 0), `${Threshold}`);
  // The drain has its own metric: its attempts may take seconds.
  assert.equal(metrics[0]?.MetricName, 'PublishLatency');
});

test('a canary lasts longer than its alarms need to fire', () => {
  const group = resource(template('prod'), 'AWS::CodeDeploy::DeploymentGroup', 'Ingest').Properties;
  assert.equal(group.DeploymentConfigName, `CodeDeployDefault.LambdaCanary10Percent${CANARY_MINUTES}Minutes`);
  const watchers = group.AlarmConfiguration.Alarms.map(({ Name }: Json) => Name.Ref);
  const watching = alarms(template('prod')).filter(({ id }) => watchers.includes(id));
  assert.deepEqual(watching.map(({ name }) => name).sort(), ['ingest-errors', 'ingest-unavailable']);
  for (const { EvaluationPeriods, metrics, name } of watching) {
    assert.ok(EvaluationPeriods + METRIC_DELAY_MINUTES < CANARY_MINUTES, name);
    const { Resource } = named(metrics[0]?.Dimensions ?? []);
    assert.deepEqual(Resource?.['Fn::Join']?.[1]?.[1], ':live', `${name} does not evaluate the alias`);
  }
});

test('the cost estimate works without values, and in both modes of the stream', () => {
  const provisioned = estimate(template('prod'));
  for (const [name] of provisioned.metrics) assert.ok(provisioned.expression.includes(`FILL(${name}, 0)`), name);
  assert.match(
    provisioned.expression,
    /FILL\(records, 0\) \* 0\.000000014 \+ FILL\(bytes, 0\) \* 0\.000000000000546875/,
  );
  const onDemand = estimate(Template.fromStack(stack('dev', { stream: { mode: StreamMode.ON_DEMAND } })));
  assert.deepEqual(onDemand.metrics.get('read'), 'GetRecords.Bytes');
  assert.ok(!onDemand.metrics.has('records'));
  for (const [name] of onDemand.metrics) assert.ok(onDemand.expression.includes(`FILL(${name}, 0)`), name);
  // Metric math would read an exponent as a name.
  assert.doesNotMatch(provisioned.expression + onDemand.expression, /\de-/);
});

test('the cost estimate has the reads of a provisioned table, and the alarms of its auto scaling', () => {
  const items = { provisioned: { minWriteUnits: 100, maxWriteUnits: 6_000 } };
  const withIndex = stack('prod', { items, reads: true }, undefined, withPublicReads());
  const [onDemand, provisioned] = [estimate(template('prod')), estimate(Template.fromStack(withIndex))];
  for (const name of ['readsOfTable', 'readsOfIndex']) {
    assert.equal(provisioned.metrics.get(name), 'ProvisionedReadCapacityUnits');
    assert.ok(provisioned.expression.includes(`FILL(${name}, 0) * 0.00013`), name);
    assert.ok(!onDemand.metrics.has(name), name);
  }
  const standing = ({ expression }: { expression: string }) => Number(expression.split(' + ').at(-1));
  const alarms = (standing(provisioned) - standing(onDemand)) * (730 / 0.1);
  assert.equal(Math.round(alarms), 16);
});

const ONCE = [1, 1];

function alarmOf(stage: StageName, name: string): AlarmJson {
  return alarmIn(template(stage), name);
}

function alarmIn(of: Template, name: string): AlarmJson {
  const found = alarms(of).find((alarm) => alarm.name === name);
  assert.ok(found !== undefined, `there is no alarm ${name}`);
  return found;
}

function named(dimensions: Json[]): Record<string, Json> {
  return Object.fromEntries(dimensions.map(({ Name, Value }) => [Name, Value]));
}

/** The dashboard's cost expression, and the metrics in it. */
function estimate(of: Template): { expression: string; metrics: Map<string, string> } {
  const { DashboardBody } = resource(of, 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties;
  const text = DashboardBody['Fn::Join'][1].map((part: Json) => (typeof part === 'string' ? part : 'x')).join('');
  const widget = JSON.parse(text).widgets.find(({ properties }: Json) => /dollars/.test(properties.title ?? ''));
  const [[{ expression }], ...metrics] = widget.properties.metrics;
  return { expression, metrics: new Map(metrics.map((metric: Json[]) => [metric.at(-1).id, metric[1]])) };
}

test('with simulated work and a long time-out, an alarm about the consumer fires only if a batch takes longer than its work', () => {
  const toml = source('tidegate.toml')
    .replace(/^simulate_work = .*$/m, 'simulate_work = 0.05')
    .replace(/^timeout_seconds = .*$/m, 'timeout_seconds = 900');
  const of = Template.fromStack(stack('dev', {}, undefined, toml));
  const seconds = (template: Template) =>
    Object.fromEntries(alarms(template).map(({ name, Threshold }) => [name, Threshold / 1000]));
  const [plain, simulated] = [seconds(template('dev')), seconds(of)];
  assert.deepEqual([plain.freshness, plain['consumer-lag'], plain['consumer-slow']], [5, 60, 48]);
  assert.deepEqual([simulated.freshness, simulated['consumer-lag'], simulated['consumer-slow']], [1805, 1860, 870]);
  // A quarter of an hour, and the half hour that a batch may wait for the one before it.
  assert.equal(alarmIn(of, 'stream-unread').EvaluationPeriods, 9);
  assert.equal(resource(of, 'AWS::Lambda::Function', 'Consumer').Properties.Timeout, 900);
  // The oldest record of a batch is far from the age at which records fail.
  const { MaximumRecordAgeInSeconds } = resource(of, 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping').Properties;
  assert.ok(MaximumRecordAgeInSeconds > 10 * 1800);
});
