import { RemovalPolicy } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { AttributeType, BillingMode, ProjectionType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

/**
 * Of a tenant's items, newest first: keys only, so that an item's write costs one small write more. Its partitions are not
 * the table's: a tenant that is spread over the stream is spread here as well, or one partition would hold it up.
 */
export const BY_RECEIVED_AT = 'by_received_at';

export interface ItemsTableProps {
  readonly protectData: boolean;
}

/** An item for each event: `pk` names the tenant, `sk` the event. Deduplication rests on it. */
export class ItemsTable extends Construct {
  readonly table: Table;

  constructor(scope: Construct, id: string, props: ItemsTableProps) {
    super(scope, id);
    this.table = new Table(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.AWS_MANAGED,
      timeToLiveAttribute: 'expires_at',
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: props.protectData,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    this.table.addGlobalSecondaryIndex({
      indexName: BY_RECEIVED_AT,
      partitionKey: { name: 'received_partition', type: AttributeType.STRING },
      sortKey: { name: 'received_at', type: AttributeType.STRING },
      projectionType: ProjectionType.KEYS_ONLY,
    });
  }

  /** Lets `grantee` insert items where there are none, read the one that is in the way, and take over its origin. */
  grantInsert(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['dynamodb:PartiQLInsert', 'dynamodb:BatchGetItem', 'dynamodb:UpdateItem'],
        resources: [this.table.tableArn],
      }),
    );
  }

  metricThrottledWrites(): Record<'ofTable' | 'ofIndex', Metric> {
    return this.metrics('WriteThrottleEvents');
  }

  metricWriteUnits(): Record<'ofTable' | 'ofIndex', Metric> {
    return this.metrics('ConsumedWriteCapacityUnits');
  }

  /** DynamoDB counts an index by itself: what is said of the table leaves it out. */
  private metrics(metricName: string): Record<'ofTable' | 'ofIndex', Metric> {
    const { tableName: TableName } = this.table;
    const of = (dimensionsMap: Record<string, string>) =>
      new Metric({ namespace: 'AWS/DynamoDB', metricName, dimensionsMap, statistic: Stats.SUM });
    return { ofTable: of({ TableName }), ofIndex: of({ TableName, GlobalSecondaryIndexName: BY_RECEIVED_AT }) };
  }
}
