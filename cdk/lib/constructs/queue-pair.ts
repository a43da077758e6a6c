import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';

/** The numbers of the contract. */
export interface QueuePairSettings {
  readonly messageBytes: number;
  readonly retentionSeconds: number;
  readonly deadLetterRetentionSeconds: number;
  readonly visibilitySeconds: number;
  /** After so many receives a message moves to the dead-letter queue. */
  readonly receives: number;
}

/** A queue and its dead-letter queue, as children of `scope`. */
export function queuePair(
  scope: Construct,
  settings: QueuePairSettings,
  protectData: boolean,
  key?: IKey,
): { queue: Queue; deadLetters: Queue } {
  const both = {
    ...(key === undefined
      ? { encryption: QueueEncryption.SQS_MANAGED }
      : { encryption: QueueEncryption.KMS, encryptionMasterKey: key }),
    enforceSSL: true,
    // The maximum since 2025. A queue that does not set it may have the older limit.
    maxMessageSizeBytes: settings.messageBytes,
    removalPolicy: protectData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
  };
  const deadLetters = new Queue(scope, 'DeadLetters', {
    ...both,
    retentionPeriod: Duration.seconds(settings.deadLetterRetentionSeconds),
  });
  const queue = new Queue(scope, 'Queue', {
    ...both,
    retentionPeriod: Duration.seconds(settings.retentionSeconds),
    visibilityTimeout: Duration.seconds(settings.visibilitySeconds),
    deadLetterQueue: { queue: deadLetters, maxReceiveCount: settings.receives },
  });
  return { queue, deadLetters };
}
