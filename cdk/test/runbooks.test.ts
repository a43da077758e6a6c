import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../lib/settings';
import { alarms, capture, dispatchTemplate, source } from './stack';

const FOLDER = 'docs/runbooks';
/** Pages for what only a local run has. Its `GET /health` names them. */
const LOCAL = ['storage-failing'];
const SECTIONS = ['What it means', 'Check first', 'Do', 'It clears'];

test('every alarm has a runbook that is in the list, and every runbook has an alarm', () => {
  const list = source(`${FOLDER}/README.md`);
  const names = alarms(dispatchTemplate()).map(({ name }) => name);
  for (const name of names) assert.ok(list.includes(`(${name}.md)`), `${name} is not in the list`);
  const pages = readdirSync(join(ROOT, FOLDER)).map((page) => basename(page, '.md'));
  assert.deepEqual(pages.filter((page) => page !== 'README').sort(), [...names, ...LOCAL].sort());
});

test('every runbook says when its alarm fires, what it means, what to check first, what to do, when it clears', () => {
  for (const { name, DatapointsToAlarm, EvaluationPeriods, metrics } of alarms(dispatchTemplate())) {
    const period = (metrics[0]?.Period ?? 0) / 60;
    const [bad, of] = [DatapointsToAlarm * period, EvaluationPeriods * period];
    const text = source(`${FOLDER}/${name}.md`);
    const minutes = of === 1 ? 'in any minute' : `in ${bad} of ${of} minutes`;
    assert.match(text, new RegExp(`\n\nAlarm \`${name}\`: [^\\n]* ${minutes}\\.`), `${name}: when it fires`);
    const sections = [...text.matchAll(/^\*\*([A-Z][a-z ]+)\.\*\*/gm)].map(([, section]) => section);
    assert.deepEqual(sections, SECTIONS, name);
    assert.match(text, /```console\n\$ [^\n]+(?: \\\n[^\n]+)*\n```\n/, `${name} has no command`);
  }
});

test('every command of a runbook reads an output that the stack has', () => {
  const { Outputs } = dispatchTemplate().toJSON();
  for (const page of readdirSync(join(ROOT, FOLDER))) {
    for (const [, output] of source(`${FOLDER}/${page}`).matchAll(/cdk\/scripts\/output prod (\w+)/g)) {
      assert.ok(output !== undefined && output in Outputs, `${page}: ${output}`);
    }
  }
});

test('the errors of every function are found by one filter: its own log lines and the reports of Lambda', () => {
  const pages = ['ingest-errors', 'drain-errors', 'consumer-errors', 'dispatch-errors'];
  const filters = pages.map((page) => capture(source(`${FOLDER}/${page}.md`), /--filter-pattern '([^']+)'/));
  for (const filter of filters) {
    assert.equal(filter, '{ $.level = "ERROR" || $.type = "platform.report" && $.record.status != "success" }');
  }
});
