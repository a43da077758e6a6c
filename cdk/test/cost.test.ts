import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AIMS, ASSUMED, PAGE, components, idle, page, total } from '../scripts/cost';
import { stageConfig } from '../lib/stage';
import { WATCHED } from '../lib/prices';
import { alarms, template } from './stack';

test('docs/cost.md is current', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), page(), '`npx tsx scripts/cost.ts` rewrites it');
});

test('the assumed memory of functions is deployed', () => {
  const { ingest, consumer } = stageConfig();
  assert.deepEqual([ingest.memoryMb, consumer.memoryMb], [ASSUMED.ingestMb, ASSUMED.consumerMb]);
  assert.deepEqual([ingest.tracing, consumer.tracing], [ASSUMED.tracing, ASSUMED.tracing]);
});

test('every alarm, and every metric of an alarm, is in the costs', () => {
  const deployed = alarms(template('prod'));
  assert.equal(deployed.length, WATCHED.alarms);
  assert.equal(deployed.flatMap(({ metrics }) => metrics).length, WATCHED.alarmMetrics);
  assert.ok(`CloudWatch, ${WATCHED.alarms} alarms` in idle(1));
});

test('a million events cost at most what is aimed at, or what the page says instead', () => {
  for (const { name, aim, limit = aim, given } of AIMS) {
    const cost = total(components(1000, given));
    assert.ok(cost <= limit, `${name}: ${cost} is more than ${limit}`);
  }
});

test('items cost the most, and batches of events make ingest cheaper', () => {
  const costs = components(1000);
  assert.equal(Math.max(...Object.values(costs)), costs['DynamoDB, items']);
  assert.ok(total(components(1000, { eventsAPost: 10 })) < total(costs) - 0.25);
});
