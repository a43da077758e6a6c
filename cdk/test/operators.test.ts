import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTRACT } from '../lib/contract';
import { dispatchTemplate, type Json, list, resource, resources, source, STAGES, template } from './stack';

// The policies of operators. That they have what the commands call is tested where the calls are: operate/src/permissions.rs.

const POLICIES = ['OperatorRead', 'OperatorRedrive', 'OperatorErase', 'OperatorVerify'] as const;
/** Of one policy that is attached to a role, without white space. */
const MOST_CHARACTERS = 6_144;
/** An ARN when it is deployed, such as that of a function. */
const ARN =
  'arn:aws:lambda:ap-southeast-2:123456789012:function:Tidegate-prod-DispatchDispatcherFunction0A1B2C3D-0a1B2c3D4e5F';

function statements(name: string, of = dispatchTemplate()): Json[] {
  return resource(of, 'AWS::IAM::ManagedPolicy', `Operators${name}`).Properties.PolicyDocument.Statement;
}

test('each policy has the actions of its list, and is attached to no role', () => {
  const lists = Object.entries(CONTRACT.operators);
  assert.equal(lists.length, POLICIES.length);
  for (const [list_, grants] of lists) {
    const name = `Operator${list_.charAt(0).toUpperCase()}${list_.slice(1)}`;
    const expected = new Set(grants.flatMap(({ actions }) => actions));
    const found = new Set(statements(name).flatMap(({ Action }) => list<string>(Action)));
    assert.deepEqual([...found].sort(), [...expected].sort(), name);
    const { Properties } = resource(dispatchTemplate(), 'AWS::IAM::ManagedPolicy', `Operators${name}`);
    assert.deepEqual([Properties.Roles, Properties.Users, Properties.Groups], [undefined, undefined, undefined]);
  }
});

test('a policy that reads allows no action that writes what is stored', () => {
  const actions = statements('OperatorRead').flatMap(({ Action }) => list<string>(Action));
  for (const action of actions) {
    assert.doesNotMatch(action, /:(Put|Delete|Send|Create|Update|BatchWrite|Start|Attach|Pass)/);
  }
});

test('resources are named: a wildcard stands for an action that cannot be limited, or follows a name', () => {
  for (const name of POLICIES) {
    for (const { Action, Resource } of statements(name)) {
      for (const one of list<Json>(Resource)) {
        if (one !== '*') continue;
        for (const action of list<string>(Action)) {
          assert.match(action, /^(lambda:ListEventSourceMappings|cloudwatch:GetMetricStatistics)$/, name);
        }
      }
    }
  }
});

test('every policy fits what IAM takes, also with dispatch', () => {
  for (const name of POLICIES) {
    const text = JSON.stringify(statements(name), (_, value: Json) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.keys(value).some((key) => /^(Fn::|Ref$)/.test(key))
        ? ARN
        : value,
    );
    assert.ok(text.length < MOST_CHARACTERS, `${name}: ${text.length}`);
  }
});

for (const stage of STAGES) {
  test(`${stage}: the policies are outputs, and name nothing of dispatch while it is off`, () => {
    const { Outputs } = template(stage).toJSON();
    for (const name of POLICIES) {
      const { id } = resource(template(stage), 'AWS::IAM::ManagedPolicy', `Operators${name}`);
      assert.deepEqual(Outputs[name].Value, { Ref: id });
      assert.doesNotMatch(JSON.stringify(statements(name, template(stage))), /Dispatch/);
    }
    assert.equal(resources(template(stage), 'AWS::IAM::ManagedPolicy').length, POLICIES.length + 1);
  });
}

test('docs/security.md has every policy', () => {
  const page = source('docs/security.md');
  for (const name of POLICIES) assert.ok(page.includes(`\`${name}\``), name);
});
