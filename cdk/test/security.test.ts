import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import {
  app,
  type Json,
  list,
  nag,
  reading,
  readingTemplate,
  resource,
  resources,
  STAGES,
  type StageName,
  source,
  stack,
  template,
} from './stack';

// Permissions.

for (const stage of STAGES) {
  test(`${stage}: cdk-nag finds nothing that is not acknowledged with a reason`, () => {
    assert.deepEqual(findings(stage), []);
  });

  test(`${stage}: no action has a wildcard, and resources only those in the table of docs/security.md`, () => {
    const table = source('docs/security.md');
    for (const statement of statements(stage)) {
      for (const action of list(statement.Action)) assert.doesNotMatch(action, /\*/);
      for (const resource of list(statement.Resource)) {
        const text = typeof resource === 'string' ? resource : JSON.stringify(resource);
        if (!text.includes('*')) continue;
        const prefix = /\/([a-z/]+\/\*)/.exec(text)?.[1];
        const named = prefix ?? list(statement.Action).join(', ');
        assert.ok(table.includes(`\`${named}\``), `docs/security.md gives no reason for ${text}`);
      }
    }
  });

  test(`${stage}: every permission of a role is in the table of docs/security.md`, () => {
    const table = source('docs/security.md');
    for (const action of new Set(statements(stage).flatMap((statement) => list(statement.Action)))) {
      assert.ok(table.includes(`\`${action}\``), `${action} is not in docs/security.md`);
    }
  });

  test(`${stage}: everything that can be tagged carries the cost tags`, () => {
    const tags = (properties: Json): string[] =>
      Array.isArray(properties.Tags)
        ? properties.Tags.map(({ Key }: Json) => Key)
        : Object.keys(properties.Tags ?? properties.HostedZoneTags ?? {});
    for (const [id, { Type, Properties }] of Object.entries<Json>(template(stage).toJSON().Resources)) {
      if (NOT_TAGGED.includes(Type)) continue;
      assert.deepEqual(tags(Properties).sort(), ['application', 'cost-center', 'stage'], `${Type} ${id}`);
    }
  });
}

/** CloudFormation has no tags for these. */
const NOT_TAGGED = [
  'AWS::Athena::NamedQuery',
  'AWS::CloudWatch::Dashboard',
  'AWS::Glue::Database',
  'AWS::Glue::Table',
  'AWS::IAM::ManagedPolicy',
  'AWS::IAM::Policy',
  'AWS::Lambda::Alias',
  'AWS::Lambda::Permission',
  'AWS::Lambda::Url',
  'AWS::Lambda::Version',
  'AWS::S3::BucketPolicy',
  'AWS::SNS::TopicPolicy',
  'AWS::SQS::QueuePolicy',
];

test('cdk-nag complains about a bucket without settings', () => {
  const within = app();
  new Bucket(stack('dev', {}, within), 'Careless');
  assert.notDeepEqual(nag(within), []);
});

test('a tenant reader reads only the partitions of its tag, and cannot be assumed without the tag', () => {
  const { AssumeRolePolicyDocument } = resource(template('prod'), 'AWS::IAM::Role', 'Reader').Properties;
  const [trust] = AssumeRolePolicyDocument.Statement;
  assert.deepEqual(trust.Action, ['sts:AssumeRole', 'sts:TagSession']);
  assert.deepEqual(trust.Condition, { StringLike: { 'aws:RequestTag/tenant': '?*' } });

  const { PolicyDocument } = resource(template('prod'), 'AWS::IAM::Policy', 'Reader').Properties;
  assert.equal(PolicyDocument.Statement.length, 1);
  const [statement] = PolicyDocument.Statement;
  assert.deepEqual(statement.Action, ['dynamodb:GetItem', 'dynamodb:Query']);
  const patterns = [`tenants/\${aws:PrincipalTag/tenant}`, `tenants/\${aws:PrincipalTag/tenant}#*`];
  assert.deepEqual(statement.Condition, {
    'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': patterns },
    Null: { 'dynamodb:LeadingKeys': 'false' },
  });

  const reads = (tag: string, partition: string) =>
    patterns.some((pattern) => like(pattern.replace(`\${aws:PrincipalTag/tenant}`, tag), partition));
  for (const own of ['tenants/acme', 'tenants/acme#0', 'tenants/acme#999']) assert.ok(reads('acme', own), own);
  for (const foreign of ['tenants/acme2', 'tenants/acme2#0', 'tenants/acme.eu', 'tenants/acm', 'tenants/', '#0']) {
    assert.ok(!reads('acme', foreign), foreign);
  }
});

test('ingest can only write: it cannot read events back', () => {
  const { PolicyDocument } = resource(template('prod'), 'AWS::IAM::Policy', 'Ingest').Properties;
  const actions = PolicyDocument.Statement.flatMap((statement: Json) => list(statement.Action)).sort();
  assert.deepEqual(actions, [
    'kinesis:PutRecords',
    'logs:CreateLogStream',
    'logs:PutLogEvents',
    's3:PutObject',
    'sqs:SendMessage',
  ]);
});

test('where events are read back, ingest reads items, manifest and archive besides, and writes nothing more', () => {
  const actionsOf = (of: Template) => {
    const { PolicyDocument } = resource(of, 'AWS::IAM::Policy', 'Ingest').Properties;
    return PolicyDocument.Statement.flatMap((statement: Json) => list(statement.Action)) as string[];
  };
  const withReads = readingTemplate('prod');
  const before = actionsOf(template('prod'));
  const more = actionsOf(withReads).filter((action) => !before.includes(action));
  assert.deepEqual([...new Set(more)].sort(), [
    'dynamodb:BatchGetItem',
    'dynamodb:GetItem',
    'dynamodb:Query',
    's3:GetObject',
    's3:ListBucket',
  ]);
  const table = source('docs/security.md');
  for (const action of more) assert.ok(table.includes(`\`${action}\``), `${action} is not in docs/security.md`);
  const within = app();
  reading('prod', within);
  assert.deepEqual(nag(within), []);
});

test('a tenant reader reads the index only where there is one', () => {
  const resourcesOf = (of: Template) =>
    list(resource(of, 'AWS::IAM::Policy', 'Reader').Properties.PolicyDocument.Statement[0].Resource);
  assert.equal(resourcesOf(template('prod')).length, 1);
  assert.match(JSON.stringify(resourcesOf(readingTemplate('prod'))), /\/index\/by_received_at/);
});

function findings(stage: StageName): string[] {
  const within = app();
  stack(stage, {}, within);
  return nag(within);
}

/** The statements of all roles, and of the policy for producers. */
function statements(stage: StageName): Json[] {
  const policies = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) => resources(template(stage), type));
  return policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
}

/** IAM's `StringLike`, for patterns with `*` only. */
function like(pattern: string, value: string): boolean {
  const literals = pattern.split('*').map((literal) => literal.replace(/[.?+^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literals.join('.*')}$`).test(value);
}
