import { Annotations, App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { stageConfig } from '../lib/stage';
import { TidegateStack } from '../lib/tidegate-stack';
import { functionAssets } from './assets';

export const app = new App({ analyticsReporting: false });
const context = app.node.getAllContext() as Record<string, unknown> & { assets?: string; functions?: string };
const warnings: string[] = [];
const config = stageConfig(context, (warning) => warnings.push(warning));

const stack = new TidegateStack(app, `Tidegate-${config.stage}`, {
  config,
  assets: functionAssets(context.assets, config.architecture, context.functions),
  terminationProtection: config.protectData,
  description: 'Tidegate: events from many tenants, in S3 and DynamoDB within five seconds.',
});
for (const warning of warnings) Annotations.of(stack).addWarningV2('tidegate:unknown-setting', warning);

// `cdk synth` fails on every finding that is not acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
