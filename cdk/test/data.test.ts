import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { CONTRACT } from '../lib/contract';
import { stageConfig } from '../lib/stage';
import {
  alarms,
  app,
  type Json,
  readingTemplate,
  resource,
  resources,
  STAGES,
  type StageName,
  stack,
  template,
  withPublicReads,
} from './stack';

// The stores. Emulators ignore many of their settings silently, so the template is tested.

for (const stage of STAGES) {
  test(`${stage}: the bucket is encrypted, private, TLS only, and outlives the stack`, () => {
    const bucket = resource(template(stage), 'AWS::S3::Bucket', 'Archive');
    assert.equal(bucket.DeletionPolicy, 'RetainExceptOnCreate');
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
    for (const prefix of CONTRACT.prefixes.archive) {
      assert.equal(rules[prefix]?.ExpirationInDays, stage === 'dev' ? 90 : undefined);
    }
    assert.equal(rules['whole bucket']?.AbortIncompleteMultipartUpload.DaysAfterInitiation, 1);
  });

  test(`${stage}: only objects for which it pays move to Infrequent Access, after thirty days`, () => {
    // In dev they live there for 60 days, in prod longer than a year.
    const least = stage === 'dev' ? 518_408 : 131_072;
    const moves = lifecycleRules(stage).filter(({ Transitions }) => Transitions);
    assert.deepEqual(
      moves.map(({ Prefix, ObjectSizeGreaterThan, Transitions }) => [Prefix, ObjectSizeGreaterThan, Transitions]),
      CONTRACT.prefixes.archive.map((prefix) => [
        prefix,
        least - 1,
        [{ StorageClass: 'STANDARD_IA', TransitionInDays: 30 }],
      ]),
    );
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
    assert.equal(DeletionPolicy, stage === 'dev' ? 'Delete' : 'RetainExceptOnCreate');
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

const PROVISIONED = {
  minWriteUnits: 100,
  maxWriteUnits: 6_000,
  targetUtilization: 80,
};

test('provisioned capacity of the items scales between its bounds, and that of the index does', () => {
  const items = { provisioned: PROVISIONED };
  const capacities = (of: Template) => {
    const table = resource(of, 'AWS::DynamoDB::Table', 'Items').Properties;
    assert.equal(table.BillingMode, undefined, 'the default is PROVISIONED');
    assert.deepEqual(table.ProvisionedThroughput, { ReadCapacityUnits: 10, WriteCapacityUnits: 100 });
    const targets = resources(of, 'AWS::ApplicationAutoScaling::ScalableTarget').map(({ Properties }) => Properties);
    const policies = resources(of, 'AWS::ApplicationAutoScaling::ScalingPolicy').map(({ Properties }) => Properties);
    assert.ok(policies.every((policy) => policy.TargetTrackingScalingPolicyConfiguration.TargetValue === 80));
    assert.equal(policies.length, targets.length);
    return targets.map(({ ScalableDimension, MinCapacity, MaxCapacity }) =>
      [ScalableDimension, MinCapacity, MaxCapacity].join(' '),
    );
  };
  assert.deepEqual(capacities(Template.fromStack(stack('prod', { items }))), [
    'dynamodb:table:WriteCapacityUnits 100 6000',
    'dynamodb:table:ReadCapacityUnits 10 4000',
  ]);
  const withIndex = Template.fromStack(stack('prod', { items, reads: true }, app(), withPublicReads()));
  assert.deepEqual(capacities(withIndex).slice(2), [
    'dynamodb:index:WriteCapacityUnits 100 6000',
    'dynamodb:index:ReadCapacityUnits 10 4000',
  ]);
});

test('a provisioned table that throttles is no failure, late events are', () => {
  const names = alarms(Template.fromStack(stack('prod', { items: { provisioned: PROVISIONED } }))).map(
    ({ name }) => name,
  );
  assert.ok(!names.includes('items-throttled'));
  assert.ok(names.includes('freshness'));
});

test('a target that auto scaling does not take is refused', () => {
  for (const targetUtilization of [19, 91, NaN]) {
    const items = { provisioned: { ...PROVISIONED, targetUtilization } };
    assert.throws(() => stack('prod', { items }), /targetUtilization (19|91|NaN) is not allowed \(allowed: 20 to 90\)/);
  }
});

test('an archive that expires before a move pays is not moved', () => {
  const { archive } = stageConfig();
  const moves = (expireAfterDays: number) => {
    const of = Template.fromStack(stack('dev', { archive: { ...archive, expireAfterDays } }));
    const { Rules } = resource(of, 'AWS::S3::Bucket', 'Archive').Properties.LifecycleConfiguration;
    return Rules.filter(({ Transitions }: Json) => Transitions).map((rule: Json) => rule.ObjectSizeGreaterThan);
  };
  // A move costs more than it saves, or S3 refuses the rule.
  for (const days of [7, 30, 59]) assert.deepEqual(moves(days), []);
  assert.deepEqual(moves(60).length, CONTRACT.prefixes.archive.length);
  assert.ok(moves(60)[0] > moves(90)[0]);
});

test('an on-demand table may be warm from the start', () => {
  const items = { warmWriteUnits: 12_000 };
  const { Properties } = resource(Template.fromStack(stack('prod', { items })), 'AWS::DynamoDB::Table', 'Items');
  assert.deepEqual(Properties.WarmThroughput, { WriteUnitsPerSecond: 12_000 });
});

test('the capacity of the items is an option', () => {
  const capacity = (given?: string) => stageConfig({ itemsCapacity: given }).items.provisioned;
  assert.deepEqual([capacity(), capacity('on-demand')], [undefined, undefined]);
  assert.deepEqual(capacity('100-6000'), PROVISIONED);
  for (const wrong of ['6000', '0-10', '20-10', 'a-b', '1-2-3']) {
    assert.throws(() => capacity(wrong), /itemsCapacity `.*` is not allowed \(allowed: `on-demand`, or two numbers/);
  }
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

test('a first deployment that fails leaves nothing', () => {
  for (const stage of STAGES) {
    const stays = Object.values<Json>(template(stage).toJSON().Resources)
      // Versions go with their function.
      .filter(({ DeletionPolicy, Type }) => DeletionPolicy === 'Retain' && Type !== 'AWS::Lambda::Version')
      .map(({ Type }) => Type);
    assert.deepEqual(stays, []);
  }
});

test('the bucket refuses writes that would replace an archive object unseen', () => {
  template('dev').hasResourceProperties('AWS::S3::BucketPolicy', {
    PolicyDocument: Match.objectLike({
      Statement: Match.arrayWith([
        Match.objectLike({
          Effect: 'Deny',
          Action: 's3:PutObject',
          Principal: { AWS: '*' },
          Resource: { 'Fn::Join': ['', Match.arrayWith(['/events/*'])] },
          // Both are absent.
          Condition: {
            Null: { 's3:if-none-match': 'true', 's3:if-match': 'true' },
            Bool: { 's3:ObjectCreationOperation': 'true' },
          },
        }),
      ]),
    }),
  });
});

test('an on-demand stream has no shard count', () => {
  const { Properties } = resource(
    Template.fromStack(stack('dev', { stream: { mode: StreamMode.ON_DEMAND } })),
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

function lifecycleRules(stage: StageName): Json[] {
  return resource(template(stage), 'AWS::S3::Bucket', 'Archive').Properties.LifecycleConfiguration.Rules;
}

/** By prefix, those that delete. */
function lifecycle(stage: StageName): Record<string, Json> {
  const rules = lifecycleRules(stage).filter(({ Transitions }) => !Transitions);
  return Object.fromEntries(rules.map((rule) => [rule.Prefix ?? 'whole bucket', rule]));
}

function isProtected(table: { Properties: Json; DeletionPolicy?: string }, stage: string): void {
  assert.equal(table.DeletionPolicy, 'RetainExceptOnCreate');
  assert.deepEqual(table.Properties.PointInTimeRecoverySpecification, { PointInTimeRecoveryEnabled: true });
  assert.equal(table.Properties.SSESpecification.SSEEnabled, true);
  assert.equal(table.Properties.BillingMode, 'PAY_PER_REQUEST');
  assert.equal(table.Properties.DeletionProtectionEnabled, stage === 'prod');
}
