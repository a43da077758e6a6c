import { Duration, Fn, Stack, Validations } from 'aws-cdk-lib';
import type { ICertificate } from 'aws-cdk-lib/aws-certificatemanager';
import {
  AllowedMethods,
  CachePolicy,
  Distribution,
  OriginProtocolPolicy,
  OriginRequestPolicy,
  OriginSslPolicy,
  SecurityPolicyProtocol,
  ViewerProtocolPolicy,
} from 'aws-cdk-lib/aws-cloudfront';
import { HttpOrigin } from 'aws-cdk-lib/aws-cloudfront-origins';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { CfnWebACL } from 'aws-cdk-lib/aws-wafv2';
import { Construct } from 'constructs';

export interface CloudFrontEdgeProps {
  /** Of ingest: the Function URL. */
  readonly url: string;
  /**
   * A secret. Ingest knows its whole text, too: it is in `origin_secrets` of the document of credentials. In the region us-east-1. It is
   * made before this construct (docs/edge.md), so that ingest accepts it from the first request on.
   */
  readonly originSecret: ISecret;
  /**
   * The header with the secret: what `auth.origin_header` says.
   * @default 'X-Origin-Secret'
   */
  readonly originHeader?: string;
  /**
   * The domain that clients use, such as `events.example.com`. Its DNS record is yours.
   * @default - CloudFront's own domain
   */
  readonly domainName?: string;
  /**
   * For the domain, in the region us-east-1.
   * @default - CloudFront's own certificate
   */
  readonly certificate?: ICertificate;
  /**
   * How many requests one address may send in five minutes: 10 or more. Others are answered 429.
   * @default 100000
   */
  readonly requestsPerAddress?: number;
}

/** A request waits for ingest for at most its time-out, which is 15 s by default. */
const ANSWER = Duration.seconds(30);
const FIVE_MINUTES = 300;

/**
 * CloudFront and WAF in front of the Function URL. CloudFront adds a secret header; ingest answers 403 without it. Its stack must be in
 * us-east-1, where CloudFront looks for web ACLs and certificates.
 */
export class CloudFrontEdge extends Construct {
  readonly distribution: Distribution;
  /** What clients send to, with a slash at its end. */
  readonly url: string;
  readonly webAcl: CfnWebACL;

  constructor(scope: Construct, id: string, props: CloudFrontEdgeProps) {
    super(scope, id);
    const { region } = Stack.of(this);
    if (region !== 'us-east-1') {
      throw new Error(
        `the stack of CloudFrontEdge is in ${region}, but CloudFront takes web ACLs of us-east-1 only: set its region`,
      );
    }
    if ((props.domainName === undefined) !== (props.certificate === undefined)) {
      throw new Error('domainName and certificate go together: set both, or none');
    }
    this.webAcl = this.rules(props.requestsPerAddress ?? 100_000);
    this.distribution = new Distribution(this, 'Distribution', {
      comment: 'In front of ingest of Tidegate',
      webAclId: this.webAcl.attrArn,
      domainNames: props.domainName === undefined ? undefined : [props.domainName],
      certificate: props.certificate,
      minimumProtocolVersion: props.certificate === undefined ? undefined : SecurityPolicyProtocol.TLS_V1_2_2021,
      defaultBehavior: {
        origin: new HttpOrigin(host(props.url), {
          protocolPolicy: OriginProtocolPolicy.HTTPS_ONLY,
          originSslProtocols: [OriginSslPolicy.TLS_V1_2],
          readTimeout: ANSWER,
          // CloudFront replaces a header of this name that the client sends.
          customHeaders: { [props.originHeader ?? 'X-Origin-Secret']: props.originSecret.secretValue.unsafeUnwrap() },
        }),
        allowedMethods: AllowedMethods.ALLOW_ALL,
        viewerProtocolPolicy: ViewerProtocolPolicy.HTTPS_ONLY,
        cachePolicy: CachePolicy.CACHING_DISABLED,
        // The Function URL finds the function by its own host name. All other headers are signed, or name tenant, tier and id.
        originRequestPolicy: OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
      },
    });
    this.url = `https://${props.domainName ?? this.distribution.distributionDomainName}/`;
    this.acknowledge(props);
  }

  /** None of them looks into bodies: events quote attacks, and are larger than what such rules let pass. */
  private rules(requestsPerAddress: number): CfnWebACL {
    const visible = (metricName: string) => ({
      cloudWatchMetricsEnabled: true,
      sampledRequestsEnabled: true,
      metricName,
    });
    return new CfnWebACL(this, 'WebAcl', {
      scope: 'CLOUDFRONT',
      defaultAction: { allow: {} },
      visibilityConfig: visible('TidegateEdge'),
      rules: [
        {
          name: 'bad-addresses',
          priority: 0,
          overrideAction: { none: {} },
          statement: {
            managedRuleGroupStatement: { vendorName: 'AWS', name: 'AWSManagedRulesAmazonIpReputationList' },
          },
          visibilityConfig: visible('TidegateEdgeBadAddresses'),
        },
        {
          name: 'requests-per-address',
          priority: 1,
          // As ingest answers a tenant over its quota: senders try again later.
          action: {
            block: {
              customResponse: {
                responseCode: 429,
                responseHeaders: [{ name: 'Retry-After', value: String(FIVE_MINUTES) }],
              },
            },
          },
          statement: {
            rateBasedStatement: {
              aggregateKeyType: 'IP',
              evaluationWindowSec: FIVE_MINUTES,
              limit: requestsPerAddress,
            },
          },
          visibilityConfig: visible('TidegateEdgeRequestsPerAddress'),
        },
      ],
    });
  }

  private acknowledge({ certificate }: CloudFrontEdgeProps): void {
    const rules = Validations.of(this.distribution);
    rules.acknowledge({ id: 'AwsSolutions-CFR1', reason: 'Senders may be in any country.' });
    rules.acknowledge({
      id: 'AwsSolutions-CFR3',
      reason:
        'Ingest logs what it refuses; WAF has metrics and samples. A log of each request would cost more than the request.',
    });
    if (certificate !== undefined) return;
    rules.acknowledge({
      id: 'AwsSolutions-CFR4',
      reason: "With CloudFront's own domain its own certificate is used, and its TLS versions cannot be chosen.",
    });
  }
}

/** `https://HOST/`: the host, also of a URL that is known only when it is deployed. */
function host(url: string): string {
  return Fn.select(2, Fn.split('/', url));
}
