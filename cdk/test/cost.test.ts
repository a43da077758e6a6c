import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ASSUMED, PAGE, components, idle, page, total } from '../scripts/cost';
import { stageConfig } from '../lib/config';
import { WATCHED } from '../lib/prices';
import { type Json, resources, source, template } from './stack';

test('docs/cost.md says what the script computes', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), page(), '`npx tsx scripts/cost.ts` writes it anew');
});

test('what is assumed of functions and alarms is what is deployed', () => {
  const { ingest, consumer } = stageConfig(() => undefined);
  assert.deepEqual([ingest.memoryMb, consumer.memoryMb], [ASSUMED.ingestGb * 1024, ASSUMED.consumerGb * 1024]);
});

test('what is charged for watching is what there is', () => {
  const alarms = resources(template('prod'), 'AWS::CloudWatch::Alarm').map(({ Properties }) => Properties);
  assert.equal(alarms.length, WATCHED.alarms);
  const looksAt = ({ Metrics = [{ MetricStat: {} }] }: Json) => Metrics.filter(({ MetricStat }: Json) => MetricStat);
  assert.equal(alarms.flatMap(looksAt).length, WATCHED.alarmMetrics);
  const metrics = source('shared/src/metric.rs').match(/^ {4}\w+: \w+, (?:Sum|Distribution);$/gm);
  assert.equal(metrics?.length, WATCHED.metrics);
  assert.ok(`CloudWatch, ${WATCHED.alarms} alarms` in idle(1));
});

test('items cost the most, and batches at the door make the whole cheaper', () => {
  const costs = components(1000);
  assert.equal(Math.max(...Object.values(costs)), costs['DynamoDB, items']);
  assert.ok(total(components(1000, { eventsAPost: 10 })) < total(costs) - 0.5);
});
