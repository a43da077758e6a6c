import { RemovalPolicy, SecretValue, Validations } from 'aws-cdk-lib';
import { type Alarm, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import type { StageMetrics } from '../metrics';
import { alarm } from './alarm';

export interface CredentialsProps {
  readonly protectData: boolean;
  readonly metrics: StageMetrics;
  /** Encrypts the secret. Without it a key of AWS does. */
  readonly key?: IKey;
}

/**
 * The secret with the document of credentials. It is created without tenants, so that every request is refused until an operator
 * stores a document (docs/deploy.md#credentials). Later deployments do not touch it while the first value stays the same here.
 */
export class Credentials extends Construct {
  readonly secret: Secret;
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: CredentialsProps) {
    super(scope, id);
    this.secret = new Secret(this, 'Secret', {
      description: 'API keys (as hashes) and webhook secrets of the tenants of Tidegate',
      secretStringValue: SecretValue.unsafePlainText(CONTRACT.credentials.empty),
      encryptionKey: props.key,
      removalPolicy: props.protectData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
    });
    Validations.of(this.secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Tenants know these keys: only an operator can replace one, together with its tenant.',
    });
    this.alarms = [
      alarm(this, {
        name: 'credentials-stale',
        metric: props.metrics.metric('CredentialRefreshFailures', Stats.SUM),
        above: 0,
        meaning: 'Ingest cannot read the credentials again. It uses the old ones, and new sandboxes cannot start.',
      }),
    ];
  }
}
