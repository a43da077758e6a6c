import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REDELIVERY_DAYS, settings } from '../lib/settings';
import { source } from './stack';

test('a tier whose items could expire before their event is delivered again is refused', () => {
  const toml = source('tidegate.toml').replace(/^free = \d+$/m, 'free = 3');
  assert.throws(
    () => settings(toml),
    /items\.days_to_live\.free is 3, but an event can be delivered again until 19 days/,
  );
  assert.equal(REDELIVERY_DAYS, 1 + 4 + 14);
});

test('ingest has time for its budgets and for the answer', () => {
  assert.equal(settings(source('tidegate.toml')).ingestTimeout.toSeconds(), 15);
});

test('a configuration without one of the budgets is refused by name', () => {
  const toml = source('tidegate.toml').replace(/^claim_check_ms = .*$/m, '');
  assert.throws(() => settings(toml), /publish\.claim_check_ms must be a number of milliseconds, not undefined/);
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
