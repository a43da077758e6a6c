import { Annotations, App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { functionAssets } from '../lib/assets';
import { checkConfiguration, programs, warnOfUnchecked } from '../lib/check';
import { overrides, readSettings } from '../lib/settings';
import { stageConfig } from '../lib/stage';
import { TidegateStack } from '../lib/tidegate-stack';

const app = new App({ analyticsReporting: false });
const context = app.node.getAllContext() as Record<string, unknown> & { assets?: string; functions?: string };
const warnings: string[] = [];
const config = stageConfig(context, (warning) => warnings.push(warning));
const { configuration } = config;
const assets = functionAssets(context.assets, config.architecture, context.functions, configuration);
const variables = overrides(config);
const isChecked = checkConfiguration(configuration, variables, programs(context.assets, context.functions));

const stack = new TidegateStack(app, `Tidegate-${config.stage}`, {
  config,
  settings: readSettings(configuration, variables),
  assets,
  terminationProtection: config.protectData,
  description: 'Tidegate: events from many tenants, in S3 and DynamoDB within five seconds.',
});
if (!isChecked) warnOfUnchecked(stack);
for (const warning of warnings) Annotations.of(stack).addWarningV2('tidegate:unknown-setting', warning);

// `cdk synth` fails on every finding that is not acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
