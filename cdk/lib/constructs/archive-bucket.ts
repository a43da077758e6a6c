import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  type LifecycleRule,
  StorageClass,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { ArchiveConfig } from '../config';

/** Every prefix of the bucket, and who writes it. */
export const PREFIXES = {
  /** Archive objects, by the consumer. */
  events: 'events/',
  /** Quarantine, by the consumer. */
  errors: 'errors/',
  /** Large texts as they came, by ingest; by the consumer, what came within the stream's line and no item holds. */
  payloads: 'payloads/',
  /** Large texts after the transform, by the consumer. */
  texts: 'texts/',
  /** Sidecars of manifests that outgrow the ledger's row, by the consumer. */
  manifests: 'manifests/',
  /** Batches that failed for good, by Lambda; it allows no other name. */
  failed: 'aws/lambda/',
  /** What was brought back from quarantine and from failed batches, by whoever runs `tidegate redrive`. */
  redriven: 'redriven/',
  /** Results of SQL queries, by Athena. */
  queries: 'queries/',
} as const;

/** The bucket: archive, quarantine, large texts, failed batches, query results. */
export class ArchiveBucket extends Construct {
  readonly bucket: Bucket;

  constructor(scope: Construct, id: string, props: ArchiveConfig) {
    super(scope, id);
    this.bucket = new Bucket(this, 'Bucket', {
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      versioned: props.versioned,
      // Not emptied for anybody: objects are what the system is for.
      removalPolicy: RemovalPolicy.RETAIN,
      lifecycleRules: lifecycle(props),
    });
    Validations.of(this.bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'Three roles reach this bucket; who wants every access on record turns on CloudTrail data events.',
    });
  }

  /** Lets `grantee` write below the prefixes. */
  grantPut(grantee: IGrantable, ...prefixes: string[]): void {
    this.grant(grantee, ['s3:PutObject'], prefixes);
  }

  /** Lets `grantee` read below the prefixes. */
  grantGet(grantee: IGrantable, ...prefixes: string[]): void {
    this.grant(grantee, ['s3:GetObject'], prefixes);
  }

  /** Lets `grantee` list the bucket, and learn that an object is not there: without it S3 answers 403 in place of 404. */
  grantList(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucket'], resources: [this.bucket.bucketArn] }),
    );
  }

  private grant(grantee: IGrantable, actions: string[], prefixes: string[]): void {
    const resources = prefixes.map((prefix) => this.bucket.arnForObjects(`${prefix}*`));
    grantee.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions, resources }));
    const role = grantee.grantPrincipal;
    if (!Construct.isConstruct(role)) return;
    const logicalId = Stack.of(this).getLogicalId(this.bucket.node.defaultChild as CfnBucket);
    for (const prefix of prefixes) {
      Validations.of(role).acknowledge({
        id: `AwsSolutions-IAM5[Resource::<${logicalId}.Arn>/${prefix}*]`,
        reason: `Names below ${prefix} are made of tenants, ids and sequence numbers: only the prefix is known here.`,
      });
    }
  }
}

function lifecycle(props: ArchiveConfig): LifecycleRule[] {
  const infrequent = {
    storageClass: StorageClass.INFREQUENT_ACCESS,
    transitionAfter: Duration.days(props.infrequentAccessAfterDays),
  };
  const expiration = props.expireAfterDays === undefined ? undefined : Duration.days(props.expireAfterDays);
  // An archive line may refer to `texts/`, an item to `payloads/`: the three live and go together.
  const kept = ['events', 'payloads', 'texts', 'manifests'] as const;
  return [
    ...kept.map((name) => ({ id: name, prefix: PREFIXES[name], expiration, transitions: [infrequent] })),
    { id: 'errors', prefix: PREFIXES.errors, expiration: Duration.days(180) },
    { id: 'failed-batches', prefix: PREFIXES.failed, expiration: Duration.days(180) },
    // Later than what it is about, so that nothing is redriven a second time.
    { id: 'redriven', prefix: PREFIXES.redriven, expiration: Duration.days(210) },
    { id: 'query-results', prefix: PREFIXES.queries, expiration: Duration.days(7) },
    {
      id: 'leftovers',
      abortIncompleteMultipartUploadAfter: Duration.days(1),
      noncurrentVersionExpiration: props.versioned ? Duration.days(30) : undefined,
      expiredObjectDeleteMarker: props.versioned ? true : undefined,
    },
  ];
}
