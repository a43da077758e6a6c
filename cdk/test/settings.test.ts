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
