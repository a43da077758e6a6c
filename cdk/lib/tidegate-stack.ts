import { Stack, type StackProps, Tags } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { FunctionAssets } from './assets';
import { Budget } from './constructs/budget';
import type { StageConfig } from './stage';
import { Tidegate } from './tidegate';

export interface TidegateStackProps extends StackProps {
  readonly config: StageConfig;
  readonly assets: FunctionAssets;
}

/** A stage: one stack with one deployment. */
export class TidegateStack extends Stack {
  constructor(scope: Construct, id: string, props: TidegateStackProps) {
    const { account, region, stage, tags, keyArn, monthlyBudget, ...config } = props.config;
    super(scope, id, { env: { account, region }, ...props });
    // `Default` is no part of logical ids: stacks that were deployed before this level have the same ones.
    const { alarmTopic } = new Tidegate(this, 'Default', {
      ...config,
      name: stage,
      assets: props.assets,
      encryptionKey: keyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', keyArn),
    });
    if (monthlyBudget !== undefined) {
      new Budget(this, 'Budget', { stage, dollarsAMonth: monthlyBudget, topic: alarmTopic });
    }
    for (const [key, value] of Object.entries(tags)) Tags.of(this).add(key, value);
  }
}
