import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Key } from 'aws-cdk-lib/aws-kms';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { stageConfig } from '../lib/stage';
import { FunctionAssets, Tidegate } from '../lib/index';
import { app, capture, type Json, nag, resource, resources, source, stack, template } from './stack';

// Producers of another account.

const ACCOUNT = '111122223333';
const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const ACTIONS = ['kinesis:DescribeStreamSummary', 'kinesis:ListShards', 'kinesis:PutRecord', 'kinesis:PutRecords'];

function shared(within = app()): Stack {
  const { stream, keyArn } = stageConfig({ producerAccounts: ACCOUNT, keyArn: KEY });
  return stack('dev', { stream, keyArn }, within);
}

test('the stream lets an account put records, and do nothing else', () => {
  const of = Template.fromStack(shared());
  const { ResourceArn, ResourcePolicy } = resource(of, 'AWS::Kinesis::ResourcePolicy', 'Events').Properties;
  const stream = resource(of, 'AWS::Kinesis::Stream', 'Events');
  assert.deepEqual(ResourceArn, { 'Fn::GetAtt': [stream.id, 'Arn'] });
  const [statement, ...others] = ResourcePolicy.Statement;
  assert.deepEqual(others, []);
  assert.deepEqual([statement.Effect, statement.Action, statement.Resource], ['Allow', ACTIONS, ResourceArn]);
  assert.match(JSON.stringify(statement.Principal), new RegExp(`:iam::${ACCOUNT}:root`));
  assert.equal(stream.Properties.StreamEncryption.KeyId, KEY);
});

test('without the setting the stream has no policy, and without a key of its own it is refused', () => {
  assert.deepEqual(resources(template('prod'), 'AWS::Kinesis::ResourcePolicy'), []);
  const { stream } = stageConfig({ producerAccounts: ACCOUNT });
  assert.throws(
    () => stack('dev', { stream }),
    /producerAccounts is set, but no key of yours encrypts the stream: .* set keyArn/,
  );
  assert.throws(() => stageConfig({ producerAccounts: '1111' }), /producerAccounts `1111` is not allowed/);
});

test('the policy of a key that the app makes lets the account encrypt by Kinesis alone, as docs/settings.md shows for other keys', () => {
  const made = new Stack(app(), 'Shop', { env: { account: '123456789012', region: 'eu-west-1' } });
  new Tidegate(made, 'Events', {
    assets: FunctionAssets.placeholder(),
    ingest: { auth: FunctionUrlAuthType.AWS_IAM },
    stream: { producerAccounts: [ACCOUNT] },
    encryptionKey: new Key(made, 'Key'),
  });
  const { Statement } = resource(Template.fromStack(made), 'AWS::KMS::Key', 'Key').Properties.KeyPolicy;
  const written = Statement.find(({ Sid }: Json) => Sid === 'ProducersOfOtherAccounts');
  const shown = JSON.parse(
    capture(source('docs/settings.md'), /## Producers of another account[^]*?```json\n([^]*?)```/),
  );
  const text = (statement: Json) =>
    JSON.stringify(statement).replace(
      /\{"Fn::Join":\["",\["arn:",\{"Ref":"AWS::Partition"\},"(:iam::\d+:root)"\]\]\}/g,
      '"arn:aws$1"',
    );
  const sorted = (statement: Json) => Object.fromEntries(Object.entries(JSON.parse(text(statement))).sort());
  assert.deepEqual(sorted(written), sorted(shown));
});

test('it passes cdk-nag', () => {
  const within = app();
  shared(within);
  assert.deepEqual(nag(within), []);
});
