import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { CONTRACT } from '../lib/contract';
import { overrides, readSettings } from '../lib/settings';
import { stageConfig } from '../lib/stage';
import { type Given, STAGES as FOLDER, stageGiven } from '../lib/stage-file';
import { SETTINGS } from '../lib/stage-settings';
import { PAGE, page } from '../scripts/settings';
import { app, DISPATCH, type Json, nag, resource, resources, stack, template, withDispatch, withKeys } from './stack';

// The settings of a stage: its file, its recipe, `-c`.

const folder = mkdtempSync(join(tmpdir(), 'tidegate-stages-'));
process.once('exit', () => {
  rmSync(folder, { recursive: true, force: true });
});

/** What is given for the stage `mine` with this content of its file. */
function given(toml: string, command: Given = {}, type = 'toml') {
  const made = mkdtempSync(join(folder, 'stages-'));
  writeFileSync(join(made, `mine.${type}`), toml);
  return stageGiven({ stage: 'mine', ...command }, made);
}

test('docs/settings.md is current', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), page(), '`npx tsx scripts/settings.ts` rewrites it');
});

test('every setting can be given by -c and in a file, as TOML or JSON, and -c wins', () => {
  assert.equal(given('ingestMemoryMb = 512').settings.ingestMemoryMb, 512);
  assert.equal(given('{"ingestMemoryMb":512}', {}, 'json').settings.ingestMemoryMb, 512);
  assert.equal(given('ingestMemoryMb = 512', { ingestMemoryMb: '1024' }).settings.ingestMemoryMb, 1024);
  const examples: Record<string, [string, unknown]> = {
    stream: ['on-demand', 'on-demand'],
    itemsCapacity: ['100-6000', { minWriteUnits: 100, maxWriteUnits: 6000 }],
    reservedConcurrency: ['200', 200],
    archiveExpireDays: ['90', 90],
    logDays: ['7', 7],
    public: ['true', true],
    auth: ['iam', 'iam'],
    region: ['eu-central-1', 'eu-central-1'],
  };
  for (const [name, [text, value]] of Object.entries(examples)) {
    const settings: Given = { ...given('', { [name]: text }).settings };
    assert.deepEqual(settings[name], value, name);
  }
  // An empty option is none: a workflow gives it where its variable is not set.
  assert.equal(given('', { alarmEmail: '' }).settings.alarmEmail, undefined);
});

test('every default is a value that is allowed, and a value that no setting takes is refused by name, value and limit', () => {
  given('');
  for (const [name, { allowed }] of Object.entries(SETTINGS)) {
    const wrong = name === 'costCenter' ? 'x'.repeat(257) : name === 'dispatchUrl' ? undefined : 'a wrong value';
    if (wrong === undefined) continue;
    assert.throws(
      () => given('', { [name]: wrong }),
      ({ message }: Error) => message === `${name} \`${wrong}\` is not allowed (allowed: ${allowed}), from -c`,
    );
  }
  assert.throws(
    () => given('logDays = 8'),
    /logDays `8` is not allowed \(allowed: one of 1, 3, 5, 7, .*\), from stages\/mine\.toml/,
  );
});

test('all that is wrong is told at once', () => {
  assert.throws(() => given('logDays = 8\nstream = 0'), /^Error: stream `0` .*\nlogDays `8` [^\n]*$/);
});

test('settings that do not go together are refused', () => {
  const records = (retentionHours: number) => stack('dev', { records: { retentionHours, ageHours: 24 } });
  assert.throws(
    () => records(24),
    /recordAgeHours `24` is not allowed \(allowed: less than retentionHours, which is 24\)/,
  );
  records(48);
  assert.throws(
    () => given('itemsCapacity = "100-6000"\nitemsWarmUnits = 12_000'),
    /itemsWarmUnits `12000` is not allowed with provisioned itemsCapacity/,
  );
});

test('a restored table is used by its name in place of the own one, by functions, roles, alarms and operators', () => {
  const { itemsTable, ledgerTable } = stageConfig({ itemsTable: 'items-restored', ledgerTable: 'ledger-restored' });
  const of = Template.fromStack(stack('prod', { itemsTable, ledgerTable }));
  assert.deepEqual(resources(of, 'AWS::DynamoDB::Table'), []);
  const { Variables } = resource(of, 'AWS::Lambda::Function', 'Consumer').Properties.Environment;
  assert.deepEqual([Variables.TIDEGATE_ITEMS_TABLE, Variables.TIDEGATE_LEDGER_TABLE], [itemsTable, ledgerTable]);
  for (const [type, id] of [
    ['AWS::IAM::Policy', 'Consumer'],
    ['AWS::IAM::ManagedPolicy', 'OperatorsOperatorRead'],
    ['AWS::CloudWatch::Alarm', 'ItemsItemsThrottled'],
  ] as const) {
    assert.match(JSON.stringify(resource(of, type, id).Properties), /items-restored/, id);
  }
  assert.equal(of.toJSON().Outputs.ItemsTable.Value, itemsTable);
  assert.throws(() => given('itemsTable = "items"\nitemsCapacity = "100-6000"'), /itemsTable excludes itemsCapacity/);
});

test('a name that nothing reads is warned of, with the one that was probably meant', () => {
  const context = { '@aws-cdk/core:checkSecretUsage': true, 'cli-telemetry': false, acknowledged: { issues: [] } };
  assert.deepEqual(given('stream = 2', context).unknown, []);
  assert.deepEqual(given('streams = 2', { ingestMemory: '512', weather: 'fine', assets: 'placeholder' }).unknown, [
    '`streams`, from stages/mine.toml, is no setting, so it changes nothing; did you mean `stream`?',
    '`ingestMemory`, from -c, is no setting, so it changes nothing; did you mean `ingestMemoryMb`?',
    '`weather`, from -c, is no setting, so it changes nothing',
  ]);
});

test('the app warns of it', () => {
  const context = JSON.stringify({ assets: 'placeholder', alarmMail: 'ops@example.com' });
  const outdir = mkdtempSync(join(tmpdir(), 'tidegate-app-'));
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'bin/tidegate.ts'], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    env: { ...process.env, CARGO_TARGET_DIR: outdir, CDK_OUTDIR: outdir, CDK_CONTEXT_JSON: context },
  });
  assert.equal(status, 0, stderr);
  assert.match(
    readFileSync(join(outdir, 'Tidegate-dev.metadata.json'), 'utf8'),
    /`alarmMail`, from -c, .* did you mean `alarmEmail`\?/,
  );
  rmSync(outdir, { recursive: true, force: true });
});

test('a stage is where its file is', () => {
  assert.throws(() => stageConfig({ stage: 'prdo' }), /stage `prdo` is not known: make its file stages\/prdo\.toml/);
  assert.throws(() => stageConfig({ stage: '../x' }), /stage `\.\.\/x` is not allowed \(allowed: a small letter/);
  for (const file of readdirSync(FOLDER)) {
    assert.deepEqual(stageGiven({ stage: basename(file, '.toml') }).unknown, []);
  }
});

test('a recipe on the command line wins over the file, and one that the file names is its base', () => {
  const stream = (toml: string, command: Given = {}) => given(toml, command).settings.stream;
  assert.equal(stream('stream = 2', { recipe: 'event-streaming' }), 'on-demand');
  assert.equal(stream('recipe = "event-streaming"'), 'on-demand');
  assert.equal(stream('recipe = "event-streaming"\nstream = 2'), 2);
  assert.equal(stream('stream = 2', { recipe: 'event-streaming', stream: '3' }), 3);
  assert.equal(stream('recipe = "event-streaming"', { recipe: 'event-receiver' }), 1);
});

test('a stage overrides keys of tidegate.toml, for the functions and for the stack alike', () => {
  const toml =
    '[archive]\nwindow_seconds = 60\n[transform]\nsteps = ["redact", "uppercase"]\n[tiers]\ndefault = "free"';
  const { keys } = given(toml, { 'publish.attempt_ms': '100' });
  const variables = overrides({ ...stageConfig(), keys });
  assert.deepEqual(variables, {
    TIDEGATE__ARCHIVE__WINDOW_SECONDS: '60',
    TIDEGATE__TRANSFORM__STEPS: '["redact","uppercase"]',
    TIDEGATE__TIERS__DEFAULT: '"free"',
    TIDEGATE__PUBLISH__ATTEMPT_MS: '100',
  });
  const settings = readSettings(undefined, variables);
  assert.deepEqual([settings.window.toSeconds(), settings.slowPut.toMilliseconds()], [60, 80]);
  const of = Template.fromStack(stack('dev', { keys }));
  for (const id of ['Ingest', 'SpillDrain', 'Consumer']) {
    const { Variables } = resource(of, 'AWS::Lambda::Function', id).Properties.Environment;
    assert.equal(Variables.TIDEGATE__ARCHIVE__WINDOW_SECONDS, '60', id);
  }
  const mapping = resource(of, 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping').Properties;
  assert.equal(mapping.MaximumBatchingWindowInSeconds, 60);
  // Text that is no TOML is text, as the functions read it.
  assert.equal(
    readSettings(undefined, overrides({ ...stageConfig(), keys: { 'auth.mode': 'api_key' } })).needsCredentials,
    true,
  );
  assert.throws(
    () => given('[quotas.tenants."acme.eu-1"]\nbytes_burst = 1'),
    /no key of tidegate\.toml that a stage can override/,
  );
});

test('the stream keeps records for as long as the stage says, and claim checks live longer by it', () => {
  const records = { retentionHours: 168, ageHours: 100 };
  const of = Template.fromStack(stack('dev', { records }));
  assert.equal(resource(of, 'AWS::Kinesis::Stream', 'Events').Properties.RetentionPeriodHours, 168);
  const mapping = resource(of, 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping').Properties;
  assert.equal(mapping.MaximumRecordAgeInSeconds, 100 * 3600);
  const { Rules } = resource(of, 'AWS::S3::Bucket', 'Archive').Properties.LifecycleConfiguration;
  const claims = Rules.find(({ Prefix }: Json) => Prefix === CONTRACT.prefixes.claims);
  assert.equal(claims.ExpirationInDays, 210 + 7 + 4 + 14);
});

test('an item must live until its event cannot come again', () => {
  const records = (retentionHours: number) => ({ records: { retentionHours, ageHours: 6 } });
  stack('dev', records(12 * 24));
  assert.throws(
    () => stack('dev', records(13 * 24)),
    /an item lives 30 days by items\.days_to_live, but with retentionHours 312 an event may come again after 31 days/,
  );
});

const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';

test('a key of the account encrypts all that is stored, and every role that reads or writes it may use it', () => {
  const within = app();
  const made = stack('prod', { keyArn: KEY }, within, withKeys());
  const of = Template.fromStack(made);
  const encrypted = Object.values<Json>(of.toJSON().Resources).map(({ Type, Properties }) => {
    const { BucketEncryption, StreamEncryption, SSESpecification, KmsMasterKeyId, KmsKeyId } = Properties;
    const [rule] = BucketEncryption?.ServerSideEncryptionConfiguration ?? [];
    const ofBucket = rule?.ServerSideEncryptionByDefault?.KMSMasterKeyID;
    return [
      Type,
      ofBucket ?? StreamEncryption?.KeyId ?? SSESpecification?.KMSMasterKeyId ?? KmsMasterKeyId ?? KmsKeyId,
    ];
  });
  for (const type of [
    'AWS::S3::Bucket',
    'AWS::Kinesis::Stream',
    'AWS::DynamoDB::Table',
    'AWS::SQS::Queue',
    'AWS::SecretsManager::Secret',
  ]) {
    const keys = encrypted.filter(([found]) => found === type).map(([, key]) => key);
    assert.ok(keys.length > 0 && keys.every((key) => key === KEY), `${type}: ${keys.join()}`);
  }
  const users = resources(of, 'AWS::IAM::Policy').filter(({ Properties }) =>
    Properties.PolicyDocument.Statement.some(
      ({ Action, Resource }: Json) =>
        Resource === KEY && Action.includes('kms:Decrypt') && Action.includes('kms:GenerateDataKey'),
    ),
  );
  assert.equal(users.length, 4, users.map(({ id }) => id).join());
  assert.deepEqual(nag(within), []);
});

test('a budget of the stage tells the alarm topic, which lets it', () => {
  const within = app();
  const of = Template.fromStack(stack('prod', { monthlyBudget: 100 }, within));
  const topic = { Ref: resource(of, 'AWS::SNS::Topic', 'Monitoring').id };
  const { Budget, NotificationsWithSubscribers } = resource(of, 'AWS::Budgets::Budget', 'Budget').Properties;
  assert.deepEqual([Budget.BudgetLimit, Budget.TimeUnit], [{ Amount: 100, Unit: 'USD' }, 'MONTHLY']);
  // The tag that every resource of the stage carries.
  assert.deepEqual(Budget.CostFilters, { TagKeyValue: ['user:stage$prod'] });
  assert.deepEqual(
    NotificationsWithSubscribers.map(({ Notification, Subscribers }: Json) => [
      Notification.NotificationType,
      Notification.Threshold,
      Subscribers[0].Address,
    ]),
    [
      ['ACTUAL', 80, topic],
      ['FORECASTED', 100, topic],
    ],
  );
  const { Statement } = resource(of, 'AWS::SNS::TopicPolicy', 'Monitoring').Properties.PolicyDocument;
  const allowed = Statement.find(({ Principal }: Json) => Principal.Service === 'budgets.amazonaws.com');
  assert.deepEqual([allowed.Action, allowed.Resource], ['sns:Publish', topic]);
  assert.deepEqual(resources(template('prod'), 'AWS::Budgets::Budget'), []);
  assert.deepEqual(nag(within), []);
});

test('S3 tells EventBridge of new objects where the stage asks for it', () => {
  const { archive } = stageConfig({ objectNotifications: 'true' });
  const configured = (of: Template) => resource(of, 'AWS::S3::Bucket', 'Archive').Properties.NotificationConfiguration;
  const of = Template.fromStack(stack('dev', { archive }));
  assert.deepEqual(configured(of), { EventBridgeConfiguration: { EventBridgeEnabled: true } });
  assert.equal(resources(of, 'AWS::Lambda::Function').length, 3, 'no function is made for it');
  assert.equal(configured(template('dev')), undefined);
});

const NETWORK = { vpc: 'vpc-0a1b2c3d', subnets: 'subnet-00000001,subnet-00000002', routeTables: 'rtb-00000001' };

test('in a VPC the functions reach every service by an endpoint, and the dispatcher is not in it, since its target is outside', () => {
  const within = app();
  const { network } = stageConfig(NETWORK);
  const of = Template.fromStack(stack('prod', { network, dispatch: DISPATCH }, within, withDispatch()));
  const group = { 'Fn::GetAtt': [resource(of, 'AWS::EC2::SecurityGroup', 'Network').id, 'GroupId'] };
  for (const id of ['Ingest', 'SpillDrain', 'Consumer']) {
    const { VpcConfig } = resource(of, 'AWS::Lambda::Function', id).Properties;
    assert.deepEqual(VpcConfig, { SecurityGroupIds: [group], SubnetIds: ['subnet-00000001', 'subnet-00000002'] }, id);
    const policy = JSON.stringify(resource(of, 'AWS::IAM::Policy', id).Properties.PolicyDocument);
    assert.match(policy, /ec2:CreateNetworkInterface/, id);
  }
  assert.equal(resource(of, 'AWS::Lambda::Function', 'Dispatch').Properties.VpcConfig, undefined);
  const endpoints = resources(of, 'AWS::EC2::VPCEndpoint').map(({ Properties }) => [
    Properties.ServiceName['Fn::Join'][1].at(-1),
    Properties.SubnetIds ?? Properties.RouteTableIds,
  ]);
  const subnets = ['subnet-00000001', 'subnet-00000002'];
  assert.deepEqual(endpoints, [
    ['.s3', ['rtb-00000001']],
    ['.dynamodb', ['rtb-00000001']],
    ['.kinesis-streams', subnets],
    ['.sqs', subnets],
    ['.secretsmanager', subnets],
  ]);
  assert.deepEqual(nag(within), []);
});

test('a VPC that has its endpoints gets none, and without credentials none for secrets is made', () => {
  const services = (routeTables: string) => {
    const { network } = stageConfig({ ...NETWORK, routeTables });
    return resources(Template.fromStack(stack('dev', { network })), 'AWS::EC2::VPCEndpoint').length;
  };
  assert.deepEqual([services('none'), services('rtb-00000001,rtb-00000002')], [0, 4]);
  assert.equal(
    given('vpc = "vpc-00000001"\nsubnets = ["subnet-00000001", "subnet-00000002"]').settings.subnets.length,
    2,
  );
  assert.throws(() => given('vpc = "vpc-00000001"'), /vpc and subnets go together/);
  assert.throws(() => given('routeTables = "rtb-00000001"'), /routeTables are those of a vpc/);
});

test('a stage has its own names, and is deployed to its account and region', () => {
  const made = stack('prod', { stage: 'eu-west', account: '123456789012', region: 'eu-west-1' });
  const of = Template.fromStack(made);
  assert.deepEqual([made.account, made.region], ['123456789012', 'eu-west-1']);
  assert.equal(
    resource(of, 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties.DashboardName,
    'Tidegate-eu-west-eu-west-1',
  );
  assert.equal(resource(of, 'AWS::Glue::Database', 'Sql').Properties.DatabaseInput.Name, 'tidegate_eu_west');
  // Without a region, the name has that of the deployment: dashboards are global in an account.
  const { DashboardName } = resource(template('prod'), 'AWS::CloudWatch::Dashboard', 'Monitoring').Properties;
  assert.deepEqual(DashboardName, { 'Fn::Join': ['', ['Tidegate-prod-', { Ref: 'AWS::Region' }]] });
});
