import { RemovalPolicy } from 'aws-cdk-lib';
import { type Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { AttributeType, BillingMode, type ITable, Table } from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import { tableEncryption } from './resources';

export interface LedgerTableProps {
  readonly protectData: boolean;
  /** Encrypts the items. Without it a key of AWS does. */
  readonly key?: IKey;
  /** Used instead of an own one, and not changed. */
  readonly existing?: ITable;
}

/** How far each shard is archived, and what each object holds. If it is lost, events are archived a second time. */
export class LedgerTable extends Construct {
  readonly table: ITable;

  constructor(scope: Construct, id: string, props: LedgerTableProps) {
    super(scope, id);
    this.table = props.existing ?? this.make(props);
  }

  private make(props: LedgerTableProps): Table {
    return new Table(this, 'Table', {
      // The same key attributes as in the items table.
      partitionKey: { name: CONTRACT.items.partitionKey, type: AttributeType.STRING },
      sortKey: { name: CONTRACT.items.sortKey, type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      ...tableEncryption(props.key),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: props.protectData,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }

  metricWriteUnits(): Metric {
    return this.table.metricConsumedWriteCapacityUnits({ statistic: Stats.SUM });
  }
}
