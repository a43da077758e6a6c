import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { CONTRACT } from '../lib/contract';
import { type Json, readingTemplate, resource, resources, STAGES, type StageName, stack, template } from './stack';

// The stores. Emulators ignore many of their settings silently, so the template is tested.

for (const stage of STAGES) {
  test(`${stage}: the bucket is encrypted, private, TLS only, and outlives the stack`, () => {
    const bucket = resource(template(stage), 'AWS::S3::Bucket', 'Archive');
    assert.equal(bucket.DeletionPolicy, 'Retain');
    assert.deepEqual(bucket.Properties.PublicAccessBlockConfiguration, {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    const [rule] = bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration;
    assert.equal(rule.ServerSideEncryptionByDefault.SSEAlgorithm, 'AES256');
    template(stage).hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: Match.objectLike({
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
          Match.objectLike({ Effect: 'Deny', Condition: { NumericLessThan: { 's3:TlsVersion': 1.2 } } }),
        ]),
      }),
    });
  });

  test(`${stage}: everything that archive lines refer to lives as long as the archive`, () => {
    const rules = lifecycle(stage);
    const { ExpirationInDays, Transitions } = rules['events/'] ?? {};
    for (const prefix of CONTRACT.prefixes.archive) {
      assert.deepEqual([rules[prefix]?.ExpirationInDays, rules[prefix]?.Transitions], [ExpirationInDays, Transitions]);
    }
    assert.equal(ExpirationInDays, stage === 'dev' ? 90 : undefined);
    assert.equal(rules['whole bucket']?.AbortIncompleteMultipartUpload.DaysAfterInitiation, 1);
  });

  test(`${stage}: failures live for half a year, and the objects that redriving needs live longer`, () => {
    const rules = lifecycle(stage);
    const { errors } = CONTRACT.tables;
    const { failurePrefix } = CONTRACT.mapping;
    const { temporary, claims } = CONTRACT.prefixes;
    for (const prefix of temporary) {
      const isFailure = [errors.prefix, failurePrefix].includes(prefix);
      const days = isFailure ? 180 : prefix === claims ? 210 + 1 + 4 + 14 : 210;
      assert.equal(rules[prefix]?.ExpirationInDays, days, prefix);
    }
  });

  test(`${stage}: items expire, can be restored, and outlive the stack`, () => {
    const items = resource(template(stage), 'AWS::DynamoDB::Table', 'Items');
    assert.deepEqual(items.Properties.TimeToLiveSpecification, { AttributeName: 'expires_at', Enabled: true });
    assert.deepEqual(items.Properties.KeySchema, [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ]);
    isProtected(items, stage);
  });

  test(`${stage}: the ledger never expires, can be restored, and outlives the stack`, () => {
    const ledger = resource(template(stage), 'AWS::DynamoDB::Table', 'Ledger');
    assert.equal(ledger.Properties.TimeToLiveSpecification, undefined);
    isProtected(ledger, stage);
  });

  test(`${stage}: the stream is encrypted and keeps records for a day`, () => {
    const { Properties, DeletionPolicy } = resource(template(stage), 'AWS::Kinesis::Stream', 'Events');
    assert.deepEqual(Properties.StreamEncryption, { EncryptionType: 'KMS', KeyId: 'alias/aws/kinesis' });
    assert.equal(Properties.RetentionPeriodHours, 24);
    assert.equal(Properties.ShardCount, stage === 'dev' ? 1 : 2);
    assert.deepEqual(Properties.StreamModeDetails, { StreamMode: 'PROVISIONED' });
    assert.equal(DeletionPolicy, stage === 'dev' ? 'Delete' : 'Retain');
  });

  test(`${stage}: queues are encrypted, TLS only, and accept the largest message`, () => {
    const queues = resources(template(stage), 'AWS::SQS::Queue');
    assert.equal(queues.length, 2);
    for (const { Properties } of queues) {
      assert.equal(Properties.SqsManagedSseEnabled, true);
      assert.equal(Properties.MaximumMessageSize, 1_048_576);
    }
    assert.equal(resources(template(stage), 'AWS::SQS::QueuePolicy').length, 2);
    const { Properties } = resource(template(stage), 'AWS::SQS::Queue', 'SpillQueue');
    assert.equal(Properties.MessageRetentionPeriod, 4 * 86_400);
    assert.equal(Properties.VisibilityTimeout, 180);
    // An outage of a day, at one attempt in three minutes, must not use up the attempts.
    assert.ok(Properties.RedrivePolicy.maxReceiveCount * Properties.VisibilityTimeout > 86_400);
  });
}

test('only where events are read back the table has its index by time', () => {
  const indexes = (of: Template) => resource(of, 'AWS::DynamoDB::Table', 'Items').Properties.GlobalSecondaryIndexes;
  assert.deepEqual([indexes(template('dev')), indexes(template('prod'))], [undefined, undefined]);
  assert.deepEqual(indexes(readingTemplate('prod')), [
    {
      IndexName: 'by_received_at',
      KeySchema: [
        { AttributeName: 'received_partition', KeyType: 'HASH' },
        { AttributeName: 'received_at', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'KEYS_ONLY' },
    },
  ]);
});

test('the resources that outlive a stack are those of docs/teardown.md', () => {
  const remaining = (stage: StageName) =>
    Object.values<Json>(template(stage).toJSON().Resources)
      .filter(({ DeletionPolicy }) => String(DeletionPolicy).startsWith('Retain'))
      .map(({ Type }) => Type)
      .filter((type) => type !== 'AWS::Lambda::Version')
      .sort();
  const always = ['AWS::DynamoDB::Table', 'AWS::DynamoDB::Table', 'AWS::S3::Bucket'];
  assert.deepEqual(remaining('dev'), always);
  assert.deepEqual(remaining('prod'), [...always, 'AWS::Kinesis::Stream', 'AWS::SQS::Queue', 'AWS::SQS::Queue'].sort());
});

test('an on-demand stream has no shard count', () => {
  const { Properties } = resource(
    Template.fromStack(stack('dev', { stream: { mode: 'on-demand' } })),
    'AWS::Kinesis::Stream',
    'Events',
  );
  assert.deepEqual([Properties.StreamModeDetails, Properties.ShardCount], [{ StreamMode: 'ON_DEMAND' }, undefined]);
});

test('prod keeps versions of deleted objects for 30 days, dev keeps none', () => {
  const versioning = (stage: 'dev' | 'prod') =>
    resource(template(stage), 'AWS::S3::Bucket', 'Archive').Properties.VersioningConfiguration;
  assert.deepEqual([versioning('prod'), versioning('dev')], [{ Status: 'Enabled' }, undefined]);
  assert.equal(lifecycle('prod')['whole bucket']?.NoncurrentVersionExpiration.NoncurrentDays, 30);
});

function lifecycle(stage: 'dev' | 'prod'): Record<string, Json> {
  const { Rules } = resource(template(stage), 'AWS::S3::Bucket', 'Archive').Properties.LifecycleConfiguration;
  return Object.fromEntries(Rules.map((rule: Json) => [rule.Prefix ?? 'whole bucket', rule]));
}

function isProtected(table: { Properties: Json; DeletionPolicy?: string }, stage: string): void {
  assert.equal(table.DeletionPolicy, 'Retain');
  assert.deepEqual(table.Properties.PointInTimeRecoverySpecification, { PointInTimeRecoveryEnabled: true });
  assert.equal(table.Properties.SSESpecification.SSEEnabled, true);
  assert.equal(table.Properties.BillingMode, 'PAY_PER_REQUEST');
  assert.equal(table.Properties.DeletionProtectionEnabled, stage === 'prod');
}
