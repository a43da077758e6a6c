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

test('a key that is left out has its default, and one that is no number is refused by name', () => {
  assert.deepEqual(settings(''), settings(source('tidegate.toml')));
  const toml = source('tidegate.toml').replace(/^claim_check_ms = .*$/m, 'claim_check_ms = "long"');
  assert.throws(() => settings(toml), /publish\.claim_check_ms must be a number of milliseconds, not long/);
});
