import { Stack, type StackProps, Tags } from 'aws-cdk-lib';
import { Table } from 'aws-cdk-lib/aws-dynamodb';
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
    const { account, region, stage, tags, keyArn, itemsTable, ledgerTable, monthlyBudget, ...config } = props.config;
    super(scope, id, { env: { account, region }, ...props });
    const encryptionKey = keyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', keyArn);
    const table = (id: string, tableName: string | undefined) =>
      tableName === undefined ? undefined : Table.fromTableAttributes(this, id, { tableName, encryptionKey });
    // `Default` is no part of logical ids: stacks that were deployed before this level have the same ones.
    const { alarmTopic } = new Tidegate(this, 'Default', {
      ...config,
      // Of a table that is given, its capacity is not set.
      items: itemsTable === undefined ? config.items : undefined,
      name: stage,
      assets: props.assets,
      encryptionKey,
      existingItemsTable: table('RestoredItems', itemsTable),
      existingLedgerTable: table('RestoredLedger', ledgerTable),
    });
    if (monthlyBudget !== undefined) {
      new Budget(this, 'Budget', { stage, dollarsAMonth: monthlyBudget, topic: alarmTopic });
    }
    for (const [key, value] of Object.entries(tags)) Tags.of(this).add(key, value);
  }
}
