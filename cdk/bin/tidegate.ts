import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { functionAssets } from '../lib/assets';
import { stageConfig } from '../lib/config';
import { configurationFile, readSettings } from '../lib/settings';
import { TidegateStack } from '../lib/tidegate-stack';

const app = new App({ analyticsReporting: false });
const context = (key: string) => app.node.tryGetContext(key) as string | undefined;
const config = stageConfig(context);
const configuration = configurationFile(context);
const settings = readSettings(configuration);

new TidegateStack(app, `Tidegate-${config.stage}`, {
  config,
  settings,
  assets: functionAssets(context('assets'), config.architecture, context('functions'), configuration),
  terminationProtection: config.protectData,
  description: 'Tidegate: events from many tenants, in S3 and DynamoDB within five seconds.',
});

// `cdk synth` fails on every finding that is not acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
