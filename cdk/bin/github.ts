/**
 * The roles of `.github/workflows/deploy.yml`, as a stack of their own: docs/deploy.md#deploy-by-github-actions.
 *
 *     npx cdk deploy --app 'npx tsx bin/github.ts' -c repository=OWNER/NAME
 */

import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { GitHubStack } from '../lib/github-stack';

const app = new App({ analyticsReporting: false });

function option(name: string, byDefault?: string): string {
  const value: unknown = app.node.tryGetContext(name) ?? byDefault;
  if (typeof value === 'string') return value;
  throw new Error(`-c ${name}= is missing: docs/deploy.md#deploy-by-github-actions says what it is`);
}

const list = (text: string) => text.split(',').filter((part) => part !== '');

new GitHubStack(app, 'Tidegate-github', {
  repository: option('repository'),
  environments: list(option('environments', 'dev,prod')),
  hasProvider: option('provider', 'new') === 'existing',
  check: { environment: option('checkIn', 'dev'), policyArns: list(option('policies', '')) },
  description: 'Tidegate: what GitHub Actions may do in this account.',
});
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
