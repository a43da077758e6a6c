import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { CONTRACT } from '../lib/contract';
import { stageConfig } from '../lib/stage';
import {
  alarms,
  app,
  type Json,
  list,
  nag,
  resource,
  resources,
  STAGES,
  source,
  stack,
  template,
  templateWithKeys,
  withKeys,
} from './stack';

// Who may send: credentials, IAM, and what must be meant.

const SECRET = 'AWS::SecretsManager::Secret';

test('prod without credentials is refused unless it is meant to be public, or uses IAM', () => {
  const prod = (options: Record<string, string>, toml?: string) =>
    stack('prod', stageConfig({ stage: 'prod', ...options }), app(), toml);
  assert.throws(
    () => prod({}),
    /prod would be public: auth\.mode is `none`, so anyone .* set auth\.mode to `api_key` .* -c auth=iam, .* -c public=true/,
  );
  assert.throws(() => prod({ public: 'false' }), /prod would be public/);
  prod({ public: 'true' });
  prod({ auth: 'iam' });
  prod({}, withKeys());
  stack('dev', stageConfig({}));
});

test('the URL asks for a signature of the account with -c auth=iam, and no one else may call it', () => {
  const signed = Template.fromStack(stack('dev', stageConfig({ auth: 'iam' })));
  assert.equal(resource(signed, 'AWS::Lambda::Url', 'Ingest').Properties.AuthType, 'AWS_IAM');
  assert.deepEqual(
    resources(signed, 'AWS::Lambda::Permission').filter(({ Properties }) => Properties.Principal === '*'),
    [],
  );
  assert.equal(resource(template('dev'), 'AWS::Lambda::Url', 'Ingest').Properties.AuthType, 'NONE');
  assert.throws(() => stageConfig({ auth: 'basic' }), /auth `basic` is not allowed \(allowed: `none` or `iam`\)/);
});

for (const stage of STAGES) {
  test(`${stage}: without credentials there is no secret, no permission for one and no alarm`, () => {
    assert.deepEqual(resources(template(stage), SECRET), []);
    assert.doesNotMatch(JSON.stringify(template(stage).toJSON()), /secretsmanager/);
    assert.ok(!alarms(template(stage)).some(({ name }) => name === 'credentials-stale'));
  });
}

test('with credentials ingest, and no other function, may read the one secret', () => {
  const secret = resource(templateWithKeys(), SECRET, 'Credentials');
  const policies = resources(templateWithKeys(), 'AWS::IAM::Policy');
  const readers = policies.flatMap(({ id, Properties }) =>
    Properties.PolicyDocument.Statement.filter(({ Action }: Json) =>
      list<string>(Action).some((action) => action.startsWith('secretsmanager:')),
    ).map((statement: Json) => ({ id, ...statement })),
  );
  assert.equal(readers.length, 1);
  assert.ok(readers[0].id.startsWith('Ingest'));
  assert.deepEqual([readers[0].Action, readers[0].Resource], ['secretsmanager:GetSecretValue', { Ref: secret.id }]);
  assert.ok(source('docs/security.md').includes('`secretsmanager:GetSecretValue`'));
  for (const { id, Properties } of resources(templateWithKeys(), 'AWS::Lambda::Function')) {
    const variable = Properties.Environment.Variables[CONTRACT.credentials.variables[0] ?? ''];
    assert.deepEqual(variable, id.startsWith('IngestFunction') ? { Ref: secret.id } : undefined, id);
  }
});

test('the secret is created without tenants, and stays when the stack of prod is deleted', () => {
  const secret = resource(templateWithKeys(), SECRET, 'Credentials');
  assert.deepEqual(JSON.parse(secret.Properties.SecretString), { tenants: [] });
  assert.equal(secret.DeletionPolicy, 'RetainExceptOnCreate');
  const dev = Template.fromStack(stack('dev', {}, app(), withKeys()));
  assert.equal(resource(dev, SECRET, 'Credentials').DeletionPolicy, 'Delete');
});

test('a deployment with credentials passes cdk-nag, and carries the cost tags', () => {
  const within = app();
  stack('prod', {}, within, withKeys());
  assert.deepEqual(nag(within), []);
  const { Tags } = resource(templateWithKeys(), SECRET, 'Credentials').Properties;
  assert.deepEqual(Tags.map(({ Key }: Json) => Key).sort(), ['application', 'cost-center', 'stage']);
});

test('the alarm about old credentials notifies the topic', () => {
  const alarm = alarms(templateWithKeys()).find(({ name }) => name === 'credentials-stale');
  const topic = resource(templateWithKeys(), 'AWS::SNS::Topic', 'Monitoring').id;
  assert.ok(alarm !== undefined);
  assert.deepEqual(alarm.AlarmActions, [{ Ref: topic }]);
  assert.deepEqual([alarm.DatapointsToAlarm, alarm.EvaluationPeriods, alarm.Threshold], [2, 3, 0]);
});

test('the first value of the secret never changes', () => {
  // CloudFormation stores a changed value at the next deployment, in place of the document that the operator has stored. All
  // tenants would be refused. A new form of the document has to accept this one as well.
  assert.equal(CONTRACT.credentials.empty, '{"tenants":[]}');
});
