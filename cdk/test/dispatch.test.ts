import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { CONTRACT, type FunctionContract, type Permission } from '../lib/contract';
import {
  alarms,
  app,
  DISPATCH,
  withDispatch,
  dispatchTemplate,
  type Json,
  list,
  resource,
  resources,
  SECRET,
  STAGES,
  stack,
  template,
} from './stack';

// What is deployed where dispatch is on, and only there.

const { dispatch, functions } = CONTRACT;

test('without dispatch nothing of it is deployed', () => {
  for (const stage of STAGES) {
    const text = JSON.stringify(template(stage).toJSON());
    assert.ok(!text.includes('Dispatch'), stage);
  }
});

test('the dispatcher gets its variables and permissions and no others', () => {
  const { Variables } = resource(dispatchTemplate(), 'AWS::Lambda::Function', 'Dispatch').Properties.Environment;
  const variables = [...functions.dispatch.variables, ...dispatch.withSecret.variables];
  assert.deepEqual(Object.keys(Variables).sort(), [CONTRACT.metrics.stageVariable, ...variables].sort());
  assert.equal(Variables.TIDEGATE_DISPATCH_SECRET_ARN, SECRET);
  const expected = [...always(functions.dispatch), ...dispatch.withSecret.permissions];
  assert.deepEqual(allowed('Dispatch'), expected.map((permission) => shown('Dispatch', permission)).sort());
});

test('the consumer gets the queue, and may send to it', () => {
  const { Variables } = resource(dispatchTemplate(), 'AWS::Lambda::Function', 'Consumer').Properties.Environment;
  const queue = resource(dispatchTemplate(), 'AWS::SQS::Queue', 'DispatchQueue').id;
  assert.deepEqual(Variables.TIDEGATE_DISPATCH_QUEUE, { Ref: queue });
  const expected = [...always(functions.consumer), ...dispatch.ofConsumer.permissions];
  assert.deepEqual(allowed('Consumer'), expected.map((permission) => shown('Consumer', permission)).sort());
});

test('queues and function have the numbers of the contract, and a message outlives the invocations that wait with it', () => {
  const queue = resource(dispatchTemplate(), 'AWS::SQS::Queue', 'DispatchQueue').Properties;
  const dead = resource(dispatchTemplate(), 'AWS::SQS::Queue', 'DispatchDeadLetters');
  assert.deepEqual(
    [queue.VisibilityTimeout, queue.MessageRetentionPeriod, queue.RedrivePolicy.maxReceiveCount],
    [dispatch.visibilitySeconds, dispatch.retentionSeconds, dispatch.receives],
  );
  assert.deepEqual(queue.RedrivePolicy.deadLetterTargetArn, { 'Fn::GetAtt': [dead.id, 'Arn'] });
  assert.equal(dead.Properties.MessageRetentionPeriod, dispatch.deadLetterRetentionSeconds);
  const { Timeout } = resource(dispatchTemplate(), 'AWS::Lambda::Function', 'Dispatch').Properties;
  assert.equal(Timeout, dispatch.timeoutSeconds);
  assert.ok(6 * Timeout <= queue.VisibilityTimeout);
  for (const { Properties } of resources(dispatchTemplate(), 'AWS::SQS::Queue')) {
    assert.deepEqual([Properties.SqsManagedSseEnabled, Properties.MaximumMessageSize], [true, dispatch.messageBytes]);
  }
});

test('a batch has what the rate allows in ten seconds, and two are in flight', () => {
  const mapping = (rate: string): Json => {
    const made = Template.fromStack(stack('dev', { dispatch: DISPATCH }, app(), withDispatch(rate)));
    return resource(made, 'AWS::Lambda::EventSourceMapping', 'Dispatch').Properties;
  };
  assert.deepEqual(
    ['0.01', '0.25', '20.0'].map((rate) => mapping(rate).BatchSize),
    [1, 3, 10],
  );
  const { ScalingConfig, FunctionResponseTypes } = mapping('20.0');
  assert.deepEqual([ScalingConfig.MaximumConcurrency, FunctionResponseTypes], [2, ['ReportBatchItemFailures']]);
});

test('the alarms can fire: on dead letters, errors, a target that takes nothing, an hour of backlog', () => {
  const ours = alarms(dispatchTemplate()).filter(({ name }) => name.startsWith('dispatch-'));
  assert.deepEqual(
    ours.map(({ name, Threshold, DatapointsToAlarm, EvaluationPeriods }) => [
      name,
      Threshold,
      DatapointsToAlarm,
      EvaluationPeriods,
    ]),
    [
      ['dispatch-stuck', 0, 15, 15],
      ['dispatch-backlog', 20 * 3_600, 2, 3],
      ['dispatch-errors', 0, 2, 15],
      ['dispatch-dead-letters', 0, 2, 3],
    ],
  );
  const [stuck] = ours;
  assert.equal(stuck?.Expression, 'IF(FILL(waiting, 0) > 0 AND FILL(dispatched, 0) < 1, 1, 0)');
  // A message that crashes the dispatcher is received again after the visibility time-out: twice within these minutes.
  assert.ok(15 * 60 > 2 * dispatch.visibilitySeconds);
  const topic = resource(dispatchTemplate(), 'AWS::SNS::Topic', 'Monitoring').id;
  for (const { name, AlarmActions } of ours) assert.deepEqual(AlarmActions, [{ Ref: topic }], name);
});

test('a header with the secret needs the secret', () => {
  assert.throws(() => stack('dev', {}, app(), withDispatch()), /give its ARN by -c dispatchSecret=/);
});

test('cdk-nag finds nothing in the stack with dispatch', () => {
  const within = app();
  stack('prod', { dispatch: DISPATCH }, within, withDispatch());
  Validations.of(within).addPlugins(new AwsSolutionsChecks(within));
  within.synth();
});

/** X-Ray's permissions are added where the stage traces. */
function always({ permissions }: FunctionContract): readonly Permission[] {
  return permissions.filter(({ on }) => on !== 'everything');
}

/** The statements of a role: effect, action, resource. */
function allowed(id: string): string[] {
  const { Statement } = resource(dispatchTemplate(), 'AWS::IAM::Policy', id).Properties.PolicyDocument;
  return Statement.flatMap(({ Effect, Action, Resource }: Json) =>
    list<string>(Action).flatMap((action) =>
      list<Json>(Resource).map((on) => `${Effect} ${action} ${JSON.stringify(on)}`),
    ),
  ).sort();
}

function shown(functionId: string, { action, on, prefix }: Permission): string {
  const of = (type: string, id: string) => ({ 'Fn::GetAtt': [resource(dispatchTemplate(), type, id).id, 'Arn'] });
  const arns: Record<Permission['on'], () => Json> = {
    stream: () => of('AWS::Kinesis::Stream', 'Events'),
    items: () => of('AWS::DynamoDB::Table', 'Items'),
    itemsByTime: () => undefined,
    ledger: () => of('AWS::DynamoDB::Table', 'Ledger'),
    bucket: () => of('AWS::S3::Bucket', 'Archive'),
    objects: () => ({ 'Fn::Join': ['', [of('AWS::S3::Bucket', 'Archive'), `/${prefix}*`]] }),
    spillQueue: () => of('AWS::SQS::Queue', 'SpillQueue'),
    dispatchQueue: () => of('AWS::SQS::Queue', 'DispatchQueue'),
    dispatchDeadLetters: () => of('AWS::SQS::Queue', 'DispatchDeadLetters'),
    rate: () => of('AWS::DynamoDB::Table', 'DispatchRate'),
    targetSecret: () => SECRET,
    credentials: () => undefined,
    logs: () => of('AWS::Logs::LogGroup', functionId),
    everything: () => '*',
  };
  return `Allow ${action} ${JSON.stringify(arns[on]())}`;
}
