import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { stageConfig } from '../lib/stage';
import { CONTRACT } from '../lib/contract';
import { configurationFile, readSettings } from '../lib/settings';
import { FunctionAssets } from '../lib/assets';
import { TidegateStack } from '../lib/tidegate-stack';
import { app, resource, resources, source, STAGES, type StageName } from './stack';

function deployed(recipe: string, stage: StageName = 'dev', more: Record<string, string> = {}) {
  const config = stageConfig({ recipe, stage, ...more });
  const within = app();
  const made = new TidegateStack(within, 'Recipe', { config, assets: FunctionAssets.placeholder() });
  return { made, template: Template.fromStack(made), assembly: within.synth() };
}

test('every recipe of the contract has its file and its settings, for every stage', () => {
  for (const recipe of CONTRACT.recipes) {
    for (const stage of STAGES) stageConfig({ recipe, stage });
    const file = configurationFile(recipe);
    assert.equal(readFileSync(file, 'utf8'), source(`recipes/${recipe}.toml`));
    readSettings(file);
  }
});

test('the functions are packed with the configuration of the recipe', () => {
  const { assembly } = deployed('event-bridge');
  const files = readdirSync(assembly.directory).map((folder) => join(assembly.directory, folder, 'tidegate.toml'));
  const packed = files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8'));
  // One asset for all of them, since they are placeholders.
  assert.deepEqual(packed, [source('recipes/event-bridge.toml')]);
});

test('event-bridge dispatches to the address that is given, for all functions alike, and warns of its placeholder', () => {
  const url = 'https://target.example.com/graphql';
  const variables = (values: Record<string, string>) => {
    const { template } = deployed('event-bridge', 'dev', values);
    const functions = ['Ingest', 'SpillDrain', 'Consumer', 'Dispatch'];
    return functions.map(
      (id) =>
        resource(template, 'AWS::Lambda::Function', id).Properties.Environment.Variables[CONTRACT.dispatch.urlVariable],
    );
  };
  assert.deepEqual(variables({ dispatchUrl: url }), [url, url, url, url]);
  assert.deepEqual(variables({}), [undefined, undefined, undefined, undefined]);
  const warnings = (values: Record<string, string>) =>
    Annotations.fromStack(deployed('event-bridge', 'dev', values).made).findWarning(
      '*',
      Match.stringLikeRegexp('placeholder'),
    );
  assert.equal(warnings({ dispatchUrl: url }).length, 0);
  assert.equal(warnings({}).length, 1);
  assert.throws(
    () => deployed('event-bridge', 'dev', { dispatchUrl: 'target' }),
    /dispatchUrl `target` is not allowed/,
  );
  assert.throws(() => deployed('http-ingestion', 'dev', { dispatchUrl: url }), /but dispatch is off/);
});

test('event-streaming scales by itself and is released gradually', () => {
  const { template } = deployed('event-streaming');
  const stream = resource(template, 'AWS::Kinesis::Stream', 'Events');
  assert.deepEqual(stream.Properties.StreamModeDetails, { StreamMode: 'ON_DEMAND' });
  assert.equal(resources(template, 'AWS::CodeDeploy::DeploymentGroup').length, 1);
});

test('an on-demand stream bills bytes: there it warns unless small records are compressed', () => {
  const warnings = (recipe: string, values: Record<string, string> = {}) =>
    Annotations.fromStack(deployed(recipe, 'dev', values).made)
      .findWarning('*', Match.stringLikeRegexp('compress_from_bytes'))
      .map(({ entry }) => entry.data);
  assert.equal(warnings('event-streaming').length, 0);
  assert.equal(warnings('http-ingestion').length, 0);
  const given = { stream: 'on-demand', 'publish.compress_from_bytes': '1024' };
  assert.equal(warnings('http-ingestion', given).length, 0);
  const [warning] = warnings('http-ingestion', { stream: 'on-demand' });
  assert.match(JSON.stringify(warning), /publish\.compress_from_bytes is 25600/);
});

test('a recipe is released at once where there is no CodeDeploy', () => {
  const { template } = deployed('event-streaming', 'dev', { canary: 'false' });
  assert.deepEqual(resources(template, 'AWS::CodeDeploy::DeploymentGroup'), []);
  assert.throws(
    () => stageConfig({ canary: 'no' }),
    /canary `no` is not allowed \(allowed: `true` or `false`\), from -c/,
  );
});

test('robust-data-processor is public in every stage, because its document asks for it, and traces nothing', () => {
  for (const stage of STAGES) {
    const { template } = deployed('robust-data-processor', stage);
    assert.equal(resource(template, 'AWS::Lambda::Url', 'Ingest').Properties.AuthType, 'NONE');
    const traced = resources(template, 'AWS::Lambda::Function').filter(
      ({ Properties }) => Properties.TracingConfig?.Mode === 'Active',
    );
    assert.deepEqual(traced, []);
  }
});

test('an option of the stream wins over the recipe', () => {
  const stream = (values: Record<string, string>) => stageConfig(values).stream;
  assert.deepEqual(stream({ recipe: 'event-streaming', stream: '3' }), {
    mode: 'PROVISIONED',
    shards: 3,
    producerAccounts: [],
  });
  assert.deepEqual(stream({ stream: 'on-demand' }), { mode: 'ON_DEMAND', producerAccounts: [] });
  assert.throws(
    () => stream({ stream: '0' }),
    /stream `0` is not allowed \(allowed: `on-demand`, or 1 to 10,000\), from -c/,
  );
});

test('a recipe that is not known, or a file beside it, is refused by name', () => {
  assert.throws(
    () => configurationFile('event-bride'),
    /recipe `event-bride` is not known \(known: event-bridge, event-receiver/,
  );
  assert.throws(
    () => stageConfig({ recipe: 'event-bridge', configuration: 'a.toml' }),
    /configuration=a\.toml and recipe=event-bridge exclude each other/,
  );
});
