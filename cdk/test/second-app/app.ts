import { App, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Stream } from 'aws-cdk-lib/aws-kinesis';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { FunctionAssets, Tidegate } from 'tidegate-cdk';

const app = new App();
const stack = new Stack(app, 'Shop');

// Of this app, from before.
const bucket = new Bucket(stack, 'Lake', { removalPolicy: RemovalPolicy.RETAIN });
const stream = new Stream(stack, 'Clicks', { retentionPeriod: Duration.hours(48) });

const assets = FunctionAssets.placeholder();
const events = new Tidegate(stack, 'Events', {
  assets,
  ingest: { auth: FunctionUrlAuthType.AWS_IAM },
  records: { retentionHours: 48 },
  existingBucket: bucket,
  existingStream: stream,
});
for (const rule of events.lifecycleRules) bucket.addLifecycleRule(rule);

new Tidegate(stack, 'Audit', {
  assets,
  name: 'shop-audit',
  ingest: { auth: FunctionUrlAuthType.AWS_IAM, canary: false },
  archive: { expireAfterDays: 90 },
});
