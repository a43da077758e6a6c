import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { GitHubStack, type GitHubStackProps } from '../lib/github-stack';
import { app, type Json, list, nag, resource, resources, source } from './stack';

// What GitHub Actions may do in the account.

const POLICIES = ['OperatorRead', 'OperatorVerify'].map((name) => `arn:aws:iam::123456789012:policy/${name}`);
const DEFAULTS: GitHubStackProps = {
  repository: 'acme/tidegate',
  environments: ['dev', 'prod'],
  hasProvider: false,
  check: { environment: 'dev', policyArns: [] },
  env: { account: '123456789012', region: 'eu-central-1' },
};

function github(change: Partial<GitHubStackProps> = {}, within = app()): GitHubStack {
  return new GitHubStack(within, 'Tidegate-github', { ...DEFAULTS, ...change });
}

/** The subjects and the audience that a role trusts. */
function trust(of: Template, id: string): Json {
  const { Statement } = resource(of, 'AWS::IAM::Role', id).Properties.AssumeRolePolicyDocument;
  assert.equal(Statement.length, 1);
  assert.equal(Statement[0].Action, 'sts:AssumeRoleWithWebIdentity');
  assert.deepEqual(Object.keys(Statement[0].Condition), ['StringEquals']);
  return Statement[0].Condition.StringEquals;
}

test('each environment has a role that only its jobs in this repository may assume', () => {
  const of = Template.fromStack(github());
  for (const environment of ['dev', 'prod']) {
    assert.deepEqual(trust(of, `Deploy${environment}`), {
      'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
      'token.actions.githubusercontent.com:sub': `repo:acme/tidegate:environment:${environment}`,
    });
  }
  const immutable = Template.fromStack(github({ repository: 'acme@123456/tidegate@456789' }));
  const subject = trust(immutable, 'Deployprod')['token.actions.githubusercontent.com:sub'];
  assert.equal(subject, 'repo:acme@123456/tidegate@456789:environment:prod');
});

test('a role that deploys may assume the roles of the bootstrap, and nothing else', () => {
  const of = Template.fromStack(github());
  for (const { Properties } of resources(of, 'AWS::IAM::Policy')) {
    const [statement, ...others] = Properties.PolicyDocument.Statement;
    assert.deepEqual(others, []);
    assert.equal(statement.Action, 'sts:AssumeRole');
    const roles = list<Json>(statement.Resource).map((arn) => /role\/([\w-]+)/.exec(JSON.stringify(arn))?.[1]);
    assert.deepEqual(roles, [
      'cdk-hnb659fds-deploy-role-123456789012-eu-central-1',
      'cdk-hnb659fds-file-publishing-role-123456789012-eu-central-1',
      'cdk-hnb659fds-lookup-role-123456789012-eu-central-1',
    ]);
  }
  assert.deepEqual(resources(of, 'AWS::IAM::ManagedPolicy'), []);
  assert.equal(resources(of, 'AWS::IAM::Role').length, 2);
});

test('the job that checks has a role with the given policies, in its environment only', () => {
  const of = Template.fromStack(github({ check: { environment: 'dev', policyArns: POLICIES } }));
  assert.deepEqual(resource(of, 'AWS::IAM::Role', 'Check').Properties.ManagedPolicyArns, POLICIES);
  assert.match(trust(of, 'Check')['token.actions.githubusercontent.com:sub'], /:environment:dev$/);
  assert.ok('OperatorRole' in of.toJSON().Outputs);
});

test('an account that has the identity provider gets no second one', () => {
  assert.equal(resources(Template.fromStack(github()), 'AWS::IAM::OIDCProvider').length, 1);
  const of = Template.fromStack(github({ hasProvider: true }));
  assert.deepEqual(resources(of, 'AWS::IAM::OIDCProvider'), []);
  const { Principal } = resource(of, 'AWS::IAM::Role', 'Deploydev').Properties.AssumeRolePolicyDocument.Statement[0];
  assert.match(JSON.stringify(Principal.Federated), /oidc-provider\/token\.actions\.githubusercontent\.com/);
});

test('names that would trust others are refused', () => {
  for (const repository of ['acme/*', '*', 'acme', 'acme/tidegate:ref', 'acme/tide gate']) {
    assert.throws(() => github({ repository }), /repository `.*` is not allowed \(allowed: OWNER\/NAME/);
  }
  assert.throws(() => github({ environments: ['*'] }), /environment `\*` is not allowed/);
  const check = { environment: 'dev', policyArns: ['OperatorRead'] };
  assert.throws(() => github({ check }), /policy `OperatorRead` is not allowed/);
});

test('it passes cdk-nag', () => {
  const within = app();
  github({ check: { environment: 'dev', policyArns: POLICIES } }, within);
  assert.deepEqual(nag(within), []);
});

test('docs/deploy.md names its options and the variables that its outputs are for', () => {
  const page = source('docs/deploy.md');
  const options = [...source('cdk/bin/github.ts').matchAll(/option\('(\w+)'/g)].map(([, name]) => name);
  for (const name of options) assert.ok(page.includes(`\`${name}=`), `${name}`);
  const workflows = ['deploy.yml', 'deploy-stage.yml'].map((file) => source(`.github/workflows/${file}`)).join();
  for (const name of ['AWS_DEPLOY_ROLE', 'AWS_OPERATOR_ROLE']) {
    assert.ok(workflows.includes(`vars.${name}`) && page.includes(`\`${name}\``), name);
  }
});
