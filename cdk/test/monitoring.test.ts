import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { Template } from 'aws-cdk-lib/assertions';
import { type Json, resource, resources, STAGES, source, stack, template } from './stack';

// What wakes an operator up, and whether it can: an alarm that never fires looks like one that has nothing to say.

const CANARY_MINUTES = 10;
/** Metrics are complete some minutes after they happened. */
const METRIC_DELAY_MINUTES = 3;

for (const stage of STAGES) {
  test(`${stage}: every alarm looks at single minutes`, () => {
    for (const { name, metrics } of alarms(stage)) {
      for (const { Period } of metrics) assert.equal(Period, 60, name);
    }
  });

  test(`${stage}: what happens once is told the first time, what lasts by two minutes of three`, () => {
    const rules = Object.fromEntries(
      alarms(stage).map(({ name, DatapointsToAlarm, EvaluationPeriods }) => [
        name,
        [DatapointsToAlarm, EvaluationPeriods] as const,
      ]),
    );
    const { quarantine, 'failed-batches': failed, 'dropped-records': dropped, ...others } = rules;
    assert.deepEqual([quarantine, failed, dropped], [ONCE, ONCE, ONCE]);
    const { 'spill-stuck': stuck, 'redriver-errors': redriver, ...lasting } = others;
    assert.deepEqual(stuck, [15, 15]);
    // What it dies of comes again after the visibility time-out: twice within these minutes.
    const { VisibilityTimeout } = resource(template(stage), 'AWS::SQS::Queue', 'SpillQueue').Properties;
    assert.ok(redriver !== undefined);
    const [bad, of] = redriver;
    assert.ok(bad === 2 && of * 60 > 2 * VisibilityTimeout, `${bad} of ${of}`);
    for (const [name, minutes] of Object.entries(lasting)) assert.deepEqual(minutes, [2, 3], name);
  });

  test(`${stage}: every alarm tells the topic, and what has no values is good`, () => {
    const topic = resource(template(stage), 'AWS::SNS::Topic', 'Monitoring').id;
    for (const { name, AlarmActions, TreatMissingData } of alarms(stage)) {
      assert.deepEqual([AlarmActions, TreatMissingData], [[{ Ref: topic }], 'notBreaching'], name);
    }
  });

  test(`${stage}: alarms may publish to the topic, whose policy takes the place of SNS's own`, () => {
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

  test(`${stage}: throttled writes are those of the table and those of the index`, () => {
    const { Expression, metrics } = alarmOf(stage, 'items-throttled');
    assert.equal(Expression, 'FILL(first, 0) + FILL(second, 0)');
    const table = resource(template(stage), 'AWS::DynamoDB::Table', 'Items');
    const [index] = table.Properties.GlobalSecondaryIndexes;
    assert.deepEqual(
      metrics.map(({ MetricName, Dimensions }) => [MetricName, named(Dimensions)]),
      [
        ['WriteThrottleEvents', { TableName: { Ref: table.id } }],
        ['WriteThrottleEvents', { TableName: { Ref: table.id }, GlobalSecondaryIndexName: index.IndexName }],
      ],
    );
    // What is warmed up is both.
    assert.ok(source('docs/runbooks/items-throttled.md').includes(`"IndexName":"${index.IndexName}"`));
  });

  test(`${stage}: spilled events are stuck while any waits or is hidden, however often it was received`, () => {
    const { Expression, metrics, Threshold } = alarmOf(stage, 'spill-stuck');
    assert.deepEqual([Expression, Threshold], ['FILL(first, 0) + FILL(second, 0)', 0]);
    assert.deepEqual(
      metrics.map(({ MetricName }) => MetricName),
      ['ApproximateNumberOfMessagesVisible', 'ApproximateNumberOfMessagesNotVisible'],
    );
  });
}

test('without metric math every alarm is about one metric, as emulators want it', () => {
  const plain = Template.fromStack(stack('dev', { metricMath: false }));
  const found = resources(plain, 'AWS::CloudWatch::Alarm');
  assert.equal(found.length, alarms('dev').length);
  for (const { id, Properties } of found) assert.ok(Properties.MetricName && !Properties.Metrics, id);
});

test('a put is called slow before it is cut off: no latency lies far beyond what an attempt may take', () => {
  const { publish } = parse(source('tidegate.toml')) as unknown as { publish: Record<string, number> };
  const { Threshold, metrics } = alarmOf('prod', 'publish-latency');
  assert.ok(Threshold > 0 && Threshold < (publish.attempt_ms ?? 0), `${Threshold}`);
  // What the redriver waits for is measured by another name: its attempts may take seconds.
  assert.equal(metrics[0]?.MetricName, 'PublishLatency');
});

test('a canary lasts until its alarms have seen it', () => {
  const group = resource(template('prod'), 'AWS::CodeDeploy::DeploymentGroup', 'Door').Properties;
  assert.equal(group.DeploymentConfigName, `CodeDeployDefault.LambdaCanary10Percent${CANARY_MINUTES}Minutes`);
  const told = group.AlarmConfiguration.Alarms.map(({ Name }: Json) => Name.Ref);
  const watching = alarms('prod').filter(({ id }) => told.includes(id));
  assert.deepEqual(watching.map(({ name }) => name).sort(), ['door-unavailable', 'ingest-errors']);
  for (const { EvaluationPeriods, metrics, name } of watching) {
    assert.ok(EvaluationPeriods + METRIC_DELAY_MINUTES < CANARY_MINUTES, name);
    const { Resource } = named(metrics[0]?.Dimensions ?? []);
    assert.deepEqual(Resource?.['Fn::Join']?.[1]?.[1], ':live', `${name} is not about the alias`);
  }
});

test('the estimate adds up where a metric has no value, and knows both modes of the stream', () => {
  const provisioned = estimate(template('prod'));
  for (const [name] of provisioned.metrics) assert.ok(provisioned.expression.includes(`FILL(${name}, 0)`), name);
  assert.match(
    provisioned.expression,
    /FILL\(records, 0\) \* 0\.000000014 \+ FILL\(bytes, 0\) \* 0\.000000000000546875/,
  );
  const onDemand = estimate(Template.fromStack(stack('dev', { stream: { mode: 'on-demand' } })));
  assert.deepEqual(onDemand.metrics.get('read'), 'GetRecords.Bytes');
  assert.ok(!onDemand.metrics.has('records'));
  for (const [name] of onDemand.metrics) assert.ok(onDemand.expression.includes(`FILL(${name}, 0)`), name);
  // Metric math would take an exponent for a name.
  assert.doesNotMatch(provisioned.expression + onDemand.expression, /\de-/);
});

const ONCE = [1, 1];

interface AlarmJson {
  readonly id: string;
  readonly name: string;
  readonly Expression?: string;
  readonly Threshold: number;
  readonly DatapointsToAlarm: number;
  readonly EvaluationPeriods: number;
  readonly TreatMissingData: string;
  readonly AlarmActions: Json[];
  readonly metrics: { MetricName: string; Period: number; Dimensions: Json[] }[];
}

/** The alarms, by the names of their runbooks, with what they look at. */
function alarms(stage: 'dev' | 'prod'): AlarmJson[] {
  return resources(template(stage), 'AWS::CloudWatch::Alarm').map(({ id, Properties }) => {
    const { Metrics = [], ...rest } = Properties;
    const looked = Metrics.filter(({ MetricStat }: Json) => MetricStat);
    const metrics = looked.map(({ MetricStat: { Metric, Period } }: Json) => ({ ...Metric, Period }));
    return {
      id,
      ...rest,
      name: /docs\/runbooks\/([a-z-]+)\.md$/.exec(rest.AlarmDescription)?.[1] ?? '',
      Expression: Metrics.find((metric: Json) => metric.Expression)?.Expression,
      metrics: metrics.length > 0 ? metrics : [rest],
    };
  });
}

function alarmOf(stage: 'dev' | 'prod', name: string): AlarmJson {
  const found = alarms(stage).find((alarm) => alarm.name === name);
  assert.ok(found !== undefined, `there is no alarm ${name}`);
  return found;
}

function named(dimensions: Json[]): Record<string, Json> {
  return Object.fromEntries(dimensions.map(({ Name, Value }) => [Name, Value]));
}

/** The expression of the dashboard's dollars, and the metrics that it names. */
function estimate(of: Template): { expression: string; metrics: Map<string, string> } {
  const { DashboardBody } = resource(of, 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties;
  const text = DashboardBody['Fn::Join'][1].map((part: Json) => (typeof part === 'string' ? part : 'x')).join('');
  const widget = JSON.parse(text).widgets.find(({ properties }: Json) => /dollars/.test(properties.title ?? ''));
  const [[{ expression }], ...metrics] = widget.properties.metrics;
  return { expression, metrics: new Map(metrics.map((metric: Json[]) => [metric.at(-1).id, metric[1]])) };
}
