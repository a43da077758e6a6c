import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { functionAssets } from '../lib/assets';
import { checkConfiguration, programs, warnOfUnchecked } from '../lib/check';
import { stageConfig } from '../lib/config';
import { configurationFile, overrides, readSettings } from '../lib/settings';
import { TidegateStack } from '../lib/tidegate-stack';

const app = new App({ analyticsReporting: false });
const context = (key: string) => app.node.tryGetContext(key) as string | undefined;
const config = stageConfig(context);
const configuration = configurationFile(context);
const assets = functionAssets(context('assets'), config.architecture, context('functions'), configuration);
const isChecked = checkConfiguration(
  configuration,
  overrides(config),
  programs(context('assets'), context('functions')),
);

const stack = new TidegateStack(app, `Tidegate-${config.stage}`, {
  config,
  settings: readSettings(configuration),
  assets,
  terminationProtection: config.protectData,
  description: 'Tidegate: events from many tenants, in S3 and DynamoDB within five seconds.',
});
if (!isChecked) warnOfUnchecked(stack);

// `cdk synth` fails on every finding that is not acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
