import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { AnyPrincipal, Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  type IBucket,
  type LifecycleRule,
  StorageClass,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Config } from '../config';
import { CONTRACT } from '../contract';
import { HOURS_A_MONTH, PRICES } from '../prices';

/** The results of SQL queries, written by Athena. The contract has every other prefix. */
export const QUERY_RESULTS = 'queries/';

type ArchiveConfig = Config['archive'];

export interface ArchiveBucketProps extends ArchiveConfig {
  /** How long after its acceptance an event may still need its claim check. */
  readonly redeliveryDays: number;
  /** Encrypts the objects. Without it S3's own keys do. */
  readonly key?: IKey;
  /** Used instead of an own one, and not changed. */
  readonly existing?: IBucket;
}

/** The bucket: archive, quarantine, failure destination, claim checks, query results. */
export class ArchiveBucket extends Construct {
  readonly bucket: IBucket;
  /** For each prefix: how long its objects are stored, and when they move. */
  readonly lifecycleRules: LifecycleRule[];

  constructor(scope: Construct, id: string, props: ArchiveBucketProps) {
    super(scope, id);
    this.lifecycleRules = lifecycle(props);
    this.bucket = props.existing ?? this.make(props);
  }

  private make(props: ArchiveBucketProps): Bucket {
    const bucket = new Bucket(this, 'Bucket', {
      ...(props.key === undefined
        ? { encryption: BucketEncryption.S3_MANAGED }
        : // Without the bucket's own key each object is a call to KMS.
          { encryption: BucketEncryption.KMS, encryptionKey: props.key, bucketKeyEnabled: true }),
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      versioned: props.versioned,
      // In every stage, and never emptied by the stack: the objects are the product.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      lifecycleRules: [...this.lifecycleRules, leftovers(props)],
    });
    bucket.addToResourcePolicy(neverReplaced(bucket));
    if (props.objectNotifications) {
      // CDK's own property makes a function for this. The template has it as a property of the bucket.
      (bucket.node.defaultChild as CfnBucket).notificationConfiguration = {
        eventBridgeConfiguration: { eventBridgeEnabled: true },
      };
    }
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'Three roles can access this bucket. Turn on CloudTrail data events if every access must be recorded.',
    });
    Validations.of(bucket).acknowledge({
      id: 'CloudFormation-Validate::W9003',
      reason: 'CDK writes `ObjectSizeGreaterThan` as a number, and CloudFormation takes it as its text.',
    });
    return bucket;
  }
}

/**
 * Refuses writes that would replace an archive object unseen, also by the consumer's role: a write must say that there is no such object
 * (`If-None-Match`), or which one it replaces (`If-Match`, an erasure). Parts of an upload cannot say it, only its end can.
 */
function neverReplaced(bucket: IBucket): PolicyStatement {
  return new PolicyStatement({
    sid: 'ArchiveObjectsAreNotReplacedUnseen',
    effect: Effect.DENY,
    principals: [new AnyPrincipal()],
    actions: ['s3:PutObject'],
    resources: [bucket.arnForObjects('events/*')],
    conditions: {
      Null: { 's3:if-none-match': 'true', 's3:if-match': 'true' },
      Bool: { 's3:ObjectCreationOperation': 'true' },
    },
  });
}

/**
 * Moving an object costs a request, and then each of its bytes costs less by the month. So a small object never pays, or only after
 * years: only those move that pay within a year, or within the rest of their lives if that is shorter. `undefined`: none pays, since
 * Infrequent Access bills thirty days of an object that it has for less.
 */
export function infrequentFromBytes({
  infrequentAccessAfterDays,
  expireAfterDays = Infinity,
}: ArchiveConfig): number | undefined {
  const { toInfrequent, gbMonth, infrequentGbMonth, infrequentLeastBytes, infrequentLeastDays } = PRICES.s3;
  const days = expireAfterDays - infrequentAccessAfterDays;
  if (days < infrequentLeastDays) return undefined;
  const months = Math.min(12, (days * 24) / HOURS_A_MONTH);
  const pays = (toInfrequent / ((gbMonth - infrequentGbMonth) * months)) * 1024 ** 3;
  return Math.max(infrequentLeastBytes, Math.ceil(pays));
}

function lifecycle(props: ArchiveBucketProps): LifecycleRule[] {
  const expiration = props.expireAfterDays === undefined ? undefined : Duration.days(props.expireAfterDays);
  const transitions = [
    {
      storageClass: StorageClass.INFREQUENT_ACCESS,
      transitionAfter: Duration.days(props.infrequentAccessAfterDays),
    },
  ];
  const { archive, temporary } = CONTRACT.prefixes;
  const infrequentFrom = infrequentFromBytes(props);
  const moved = infrequentFrom === undefined ? [] : archive;
  return [
    // Archive lines refer to the other prefixes: all of them expire together.
    ...(expiration === undefined ? [] : archive.map((prefix) => ({ ...rule(prefix), expiration }))),
    ...moved.map((prefix) => ({
      ...rule(prefix),
      id: `${rule(prefix).id}-infrequent`,
      objectSizeGreaterThan: (infrequentFrom ?? 0) - 1,
      transitions,
    })),
    ...temporary.map((prefix) => ({ ...rule(prefix), expiration: Duration.days(temporaryDays(prefix, props)) })),
    { ...rule(QUERY_RESULTS), expiration: Duration.days(7) },
  ];
}

/** Of the whole bucket. */
function leftovers({ versioned }: ArchiveConfig): LifecycleRule {
  return {
    id: 'leftovers',
    abortIncompleteMultipartUploadAfter: Duration.days(1),
    noncurrentVersionExpiration: versioned ? Duration.days(30) : undefined,
    expiredObjectDeleteMarker: versioned ? true : undefined,
  };
}

/** All lifetimes follow from that of the failures, which wait to be redriven. */
function temporaryDays(prefix: string, { failuresDays, redeliveryDays }: ArchiveBucketProps): number {
  const failures = [CONTRACT.tables.errors.prefix, CONTRACT.mapping.failurePrefix];
  if (failures.includes(prefix)) return failuresDays;
  // A note in `redriven/` must outlive its source, or the source could be redriven twice. S3 deletes expired objects late.
  const notesDays = failuresDays + 30;
  // A claim check is written before its event waits on the stream, in the spill queue and in the dead-letter queue, and only
  // then fails.
  return prefix === CONTRACT.prefixes.claims ? notesDays + redeliveryDays : notesDays;
}

function rule(prefix: string): { id: string; prefix: string } {
  return { id: prefix.replace(/\/$/, ''), prefix };
}
