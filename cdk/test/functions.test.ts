import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Architecture, FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { stageConfig } from '../lib/stage';
import { CONTRACT } from '../lib/contract';
import { settings } from '../lib/settings';
import { dispatchTemplate, list, resource, resources, source, STAGES, stack, template } from './stack';

// The functions, their event sources, and their callers.

const FUNCTION = 'AWS::Lambda::Function';
/** The properties of a mapping that are no numbers. */
const REFERENCES = ['EventSourceArn', 'FunctionName', 'DestinationConfig', 'Tags'];

for (const stage of STAGES) {
  test(`${stage}: the consumer's mapping has the promised numbers`, () => {
    const { Properties } = resource(template(stage), 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping');
    const { DestinationConfig } = Properties;
    const isNumber = ([name]: [string, unknown]) => !REFERENCES.includes(name);
    const numbers = Object.fromEntries(Object.entries(Properties).filter(isNumber));
    assert.deepEqual(numbers, {
      StartingPosition: 'TRIM_HORIZON',
      BatchSize: 10_000,
      MaximumBatchingWindowInSeconds: 3,
      ParallelizationFactor: 1,
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      MaximumRetryAttempts: 30,
      MaximumRecordAgeInSeconds: 6 * 3_600,
      MetricsConfig: { Metrics: ['EventCount'] },
    });
    // On S3 a failed batch keeps its records; a queue would get metadata only.
    const bucket = resource(template(stage), 'AWS::S3::Bucket', 'Archive').id;
    assert.deepEqual(DestinationConfig, { OnFailure: { Destination: { 'Fn::GetAtt': [bucket, 'Arn'] } } });
  });

  test(`${stage}: records fail permanently long before the stream deletes them`, () => {
    const mapping = resource(template(stage), 'AWS::Lambda::EventSourceMapping', 'ConsumerMapping').Properties;
    const stream = resource(template(stage), 'AWS::Kinesis::Stream', 'Events').Properties;
    assert.ok(mapping.MaximumRecordAgeInSeconds * 2 <= stream.RetentionPeriodHours * 3_600);
  });

  test(`${stage}: functions run the binary, and log JSON at a level that includes metrics`, () => {
    const functions = resources(template(stage), FUNCTION);
    assert.equal(functions.length, 3);
    for (const { Properties } of functions) {
      assert.deepEqual([Properties.Runtime, Properties.Handler], ['provided.al2023', 'bootstrap']);
      assert.deepEqual(Properties.Architectures, ['x86_64']);
      assert.equal(Properties.LoggingConfig.LogFormat, 'JSON');
      // Metric documents count as INFO.
      assert.equal(Properties.LoggingConfig.ApplicationLogLevel, 'INFO');
    }
    const days = stage === 'dev' ? 7 : 90;
    for (const { Properties } of resources(template(stage), 'AWS::Logs::LogGroup')) {
      assert.equal(Properties.RetentionInDays, days);
    }
  });

  test(`${stage}: Lambda logs no line for a request of ingest, which has memory and time for the largest one`, () => {
    const { Properties } = resource(template(stage), FUNCTION, 'Ingest');
    assert.equal(Properties.LoggingConfig.SystemLogLevel, 'WARN');
    assert.deepEqual([Properties.MemorySize, Properties.Timeout], [272, 15]);
  });

  test(`${stage}: the consumer has one processor and one minute`, () => {
    const { Properties } = resource(template(stage), FUNCTION, 'Consumer');
    assert.deepEqual([Properties.MemorySize, Properties.Timeout], [1769, 60]);
    assert.equal(Properties.LoggingConfig.SystemLogLevel, 'INFO');
  });

  test(`${stage}: the URL belongs to the alias, and both permissions make it public`, () => {
    const alias = { Ref: resource(template(stage), 'AWS::Lambda::Alias', 'IngestLive').id };
    const url = resource(template(stage), 'AWS::Lambda::Url', 'IngestLive').Properties;
    assert.deepEqual([url.AuthType, url.Qualifier, url.InvokeMode], ['NONE', 'live', 'BUFFERED']);
    const permissions = resources(template(stage), 'AWS::Lambda::Permission').map(({ Properties }) => Properties);
    assert.deepEqual(permissions, [
      { Action: 'lambda:InvokeFunctionUrl', FunctionName: alias, FunctionUrlAuthType: 'NONE', Principal: '*' },
      { Action: 'lambda:InvokeFunction', FunctionName: alias, InvokedViaFunctionUrl: true, Principal: '*' },
    ]);
  });

  test(`${stage}: the drain gets a few messages at a time, and reports each of them`, () => {
    template(stage).hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      EventSourceArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^SpillQueue'), 'Arn'] },
      BatchSize: 10,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      ScalingConfig: { MaximumConcurrency: 2 },
    });
  });
}

test('only prod limits ingest, shifts its traffic gradually, and rolls back when the function fails', () => {
  const limit = (stage: 'dev' | 'prod') =>
    resource(template(stage), FUNCTION, 'Ingest').Properties.ReservedConcurrentExecutions;
  assert.deepEqual([limit('dev'), limit('prod')], [undefined, 100]);
  template('dev').resourceCountIs('AWS::CodeDeploy::DeploymentGroup', 0);

  const group = resource(template('prod'), 'AWS::CodeDeploy::DeploymentGroup', 'Ingest').Properties;
  assert.deepEqual(group.AutoRollbackConfiguration.Events, ['DEPLOYMENT_FAILURE', 'DEPLOYMENT_STOP_ON_ALARM']);
  const alarms = ['IngestIngestUnavailable', 'IngestIngestErrors'].map(
    (id) => resource(template('prod'), 'AWS::CloudWatch::Alarm', id).id,
  );
  const expected = alarms.map((alarm) => ({ Name: { Ref: alarm } }));
  assert.deepEqual(group.AlarmConfiguration, { Alarms: expected, Enabled: true });
  const alias = resource(template('prod'), 'AWS::Lambda::Alias', 'IngestLive');
  assert.ok(alias.UpdatePolicy.CodeDeployLambdaAliasUpdate);
});

test('who reads a format is updated before who writes it', () => {
  const of = dispatchTemplate();
  const consumer = resource(of, FUNCTION, 'ConsumerFunction').id;
  const after = (id: string) => {
    const { DependsOn } = of.toJSON().Resources[resource(of, FUNCTION, id).id];
    return list<string>(DependsOn).filter((name) => resources(of, FUNCTION).some((found) => found.id === name));
  };
  assert.deepEqual([after('IngestFunction'), after('SpillDrainFunction')], [[consumer], [consumer]]);
  assert.deepEqual(after('ConsumerFunction'), [resource(of, FUNCTION, 'DispatchDispatcherFunction').id]);
  // New requests go to the new version, which is made of the updated function.
  const version = resource(of, 'AWS::Lambda::Version', 'IngestFunctionCurrentVersion').Properties;
  assert.deepEqual(version.FunctionName, { Ref: resource(of, FUNCTION, 'IngestFunction').id });
});

test('nothing is traced, unless the stage or its recipe asks for it', () => {
  const traced = (change: object) => {
    const functions = resources(Template.fromStack(stack('dev', change)), FUNCTION);
    return functions.filter(({ Properties }) => Properties.TracingConfig?.Mode === 'Active').map(({ id }) => id);
  };
  const { ingest, consumer } = stageConfig({ tracing: 'true' });
  assert.deepEqual(traced({}), []);
  assert.equal(traced({ ingest, consumer }).length, 2);
  const asked = (recipe: string) => {
    const stage = stageConfig({ recipe });
    return [stage.ingest.tracing, stage.consumer.tracing, stage.dispatch.tracing];
  };
  assert.deepEqual(asked('event-bridge'), [true, true, true]);
  assert.deepEqual(asked('event-streaming'), [true, true, true]);
  assert.deepEqual(asked('http-ingestion'), [false, false, false]);
});

test('memory that the largest body or batch does not fit is refused, with what it needs', () => {
  const { ingest, consumer } = stageConfig();
  const toml = source('tidegate.toml').replace(/^body_bytes = .*$/m, 'body_bytes = 4_194_304');
  const made = (ingestMb: number, consumerMb: number, text = source('tidegate.toml')) =>
    stack(
      'dev',
      { ingest: { ...ingest, memoryMb: ingestMb }, consumer: { ...consumer, memoryMb: consumerMb } },
      undefined,
      text,
    );
  assert.throws(() => made(271, 1769), /ingest has 271 MB of memory, but by limits\.body_bytes it needs 272/);
  assert.throws(() => made(272, 383), /consumer has 383 MB .* limits\.claim_check_bytes it needs 384/);
  made(272, 384);
  // What docs/cost.md says of bodies of 4 MB.
  made(128, 1769, toml);
  // The contract has the number of the default body, as Rust computes it.
  assert.equal(settings('').ingestMb, CONTRACT.ingest.memoryMb);
});

test('ingest with IAM has no public permission', () => {
  const ingest = { memoryMb: 512, auth: FunctionUrlAuthType.AWS_IAM, canary: false, tracing: false };
  const closed = Template.fromStack(stack('dev', { ingest }));
  closed.resourceCountIs('AWS::Lambda::Permission', 0);
  closed.hasResourceProperties('AWS::Lambda::Url', { AuthType: 'AWS_IAM' });
});

test('arm64 is one setting away', () => {
  const arm = Template.fromStack(stack('dev', { architecture: Architecture.ARM_64 }));
  arm.allResourcesProperties(FUNCTION, { Architectures: ['arm64'] });
});

test('CloudFormation refuses to deploy placeholders', () => {
  const { Assertions: refuses } = template('dev').toJSON().Rules.Placeholder;
  assert.deepEqual(refuses[0].Assert, { 'Fn::Equals': ['placeholder', 'functions'] });
  assert.match(refuses[0].AssertDescription, /^The functions are placeholders\. Deploy their binaries: /);
});
