import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stageConfig } from '../lib/stage';
import { readsAreOn, redeliveryDays, settings } from '../lib/settings';
import { source } from './stack';

test('claim checks outlive every event that may still be delivered', () => {
  const days = (retentionHours: number) => redeliveryDays({ retentionHours, ageHours: 6 });
  assert.deepEqual([days(24), days(25), days(168)], [1 + 4 + 14, 2 + 4 + 14, 7 + 4 + 14]);
});

test('ingest has time for its budgets and for the answer', () => {
  assert.equal(settings(source('tidegate.toml')).ingestTimeout.toSeconds(), 15);
});

test('the time-out of the consumer is that of the configuration', () => {
  const toml = source('tidegate.toml');
  const timeout = (seconds: string) => settings(toml.replace(/^timeout_seconds = .*$/m, seconds)).consumerTimeout;
  assert.equal(timeout('timeout_seconds = 900').toSeconds(), 900);
  assert.equal(timeout('').toSeconds(), 60);
});

test('with simulated work an event may be late by two batches', () => {
  const toml = source('tidegate.toml');
  const simulated = toml.replace(/^simulate_work = .*$/m, 'simulate_work = 0.05');
  const late = (text: string) => settings(text).later.toSeconds();
  assert.deepEqual([late(toml), late(simulated)], [0, 120]);
});

test('with a longer window an event may be late by as much', () => {
  const windows = ['window_seconds = 60', 'window_seconds = 1', ''].map((line) =>
    settings(source('tidegate.toml').replace(/^window_seconds = .*$/m, line)),
  );
  assert.deepEqual(
    windows.map(({ window, later }) => [window.toSeconds(), later.toSeconds()]),
    [
      [60, 57],
      [1, 0],
      [3, 0],
    ],
  );
});

test('a key that is left out has its default, and one that is no number is refused by name', () => {
  assert.deepEqual(settings(''), settings(source('tidegate.toml')));
  const toml = source('tidegate.toml').replace(/^claim_check_ms = .*$/m, 'claim_check_ms = "long"');
  assert.throws(() => settings(toml), /publish\.claim_check_ms must be a number of milliseconds, not long/);
});

test('events can be read back if the stage or the configuration says so, the stage first', () => {
  const given = (stage: boolean | undefined, enabled?: boolean) =>
    readsAreOn(stage, { enabled, public: true, isIdentified: false });
  assert.deepEqual(
    [given(undefined), given(true), given(undefined, true), given(false, true)],
    [false, true, true, false],
  );
  const stage = (reads?: string) => stageConfig({ reads }).reads;
  assert.deepEqual([stage(), stage('true'), stage('false')], [undefined, true, false]);
  assert.throws(() => stage('yes'), /reads `yes` is not allowed/);
});

test('reading events back is refused by the name of the key that allows it, while callers are not identified', () => {
  const unidentified = { public: false, isIdentified: false };
  assert.deepEqual(settings(source('tidegate.toml')).reads, { enabled: undefined, ...unidentified });
  assert.throws(() => readsAreOn(true, unidentified), /`reads\.public = true` if that is meant/);
  assert.throws(() => readsAreOn(undefined, { enabled: true, ...unidentified }), /deploy with `-c reads=false`/);
  assert.equal(readsAreOn(false, { enabled: true, ...unidentified }), false);
  const keys = settings(source('tidegate.toml').replace(/^mode = "none"$/m, 'mode = "api_key"')).reads;
  assert.equal(readsAreOn(true, keys), true);
});

test('credentials are needed for keys, for signatures and for a secret header, and come from the secret', () => {
  const auth = (lines: string) => settings(source('tidegate.toml').replace(/^mode = "none"$/m, lines)).needsCredentials;
  assert.equal(auth('mode = "none"'), false);
  assert.equal(auth('mode = "api_key"'), true);
  assert.equal(auth('mode = "signature"'), true);
  assert.equal(auth('mode = "none"\norigin_header = "X-Origin"'), true);
  assert.equal(settings(source('tidegate.toml').replace('[auth]', '[unused]')).needsCredentials, false);
  assert.throws(
    () => auth('mode = "api_key"\ncredentials_file = "keys.json"'),
    /auth\.credentials_file is `keys\.json`, but the functions on AWS read the credentials from a secret: remove it/,
  );
});
