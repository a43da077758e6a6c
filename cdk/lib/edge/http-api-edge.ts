import { CfnOutput, Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  DomainName,
  HttpApi,
  HttpStage,
  LogGroupLogDestination,
  PayloadFormatVersion,
  SecurityPolicy,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { ICertificate } from 'aws-cdk-lib/aws-certificatemanager';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

export interface HttpApiEdgeProps {
  /** The alias `live` of ingest: `ingest` of a `Tidegate`. */
  readonly ingest: IFunction;
  /**
   * The domain that clients use, such as `events.example.com`. Its DNS record is yours: an alias of the output `Target`.
   * @default - API Gateway's own domain
   */
  readonly domainName?: string;
  /**
   * For the domain, in the region of the stack.
   * @default - API Gateway's own certificate
   */
  readonly certificate?: ICertificate;
  /**
   * Requests a second, of all clients together. Others are answered 429.
   * @default 1000
   */
  readonly requestsPerSecond?: number;
}

/** The longest that API Gateway waits for a function. */
const ANSWER = Duration.seconds(29);

/**
 * An HTTP API of API Gateway in front of ingest. It invokes the function itself, so the Function URL can ask for IAM, and is closed. Its
 * requests have the form of a Function URL (payload format 2.0).
 */
export class HttpApiEdge extends Construct {
  readonly api: HttpApi;
  /** What clients send to, with a slash at its end. */
  readonly url: string;

  constructor(scope: Construct, id: string, props: HttpApiEdgeProps) {
    super(scope, id);
    const { domainName, certificate, requestsPerSecond = 1_000 } = props;
    if ((domainName === undefined) !== (certificate === undefined)) {
      throw new Error('domainName and certificate go together: set both, or none');
    }
    this.api = new HttpApi(this, 'Api', {
      description: 'In front of ingest of Tidegate',
      defaultIntegration: new HttpLambdaIntegration('Ingest', props.ingest, {
        payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
        timeout: ANSWER,
      }),
      createDefaultStage: false,
      // With a domain of its own, clients cannot go around it.
      disableExecuteApiEndpoint: domainName !== undefined,
    });
    const domain =
      domainName === undefined || certificate === undefined
        ? undefined
        : new DomainName(this, 'Domain', { domainName, certificate, securityPolicy: SecurityPolicy.TLS_1_2 });
    const logs = new LogGroup(this, 'Logs', {
      retention: RetentionDays.ONE_WEEK,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // `$default`: the name of any other stage would be the first part of each path, and no route would match.
    const stage = new HttpStage(this, 'Stage', {
      httpApi: this.api,
      stageName: '$default',
      autoDeploy: true,
      throttle: { rateLimit: requestsPerSecond, burstLimit: requestsPerSecond },
      domainMapping: domain && { domainName: domain },
      // What API Gateway refuses never reaches ingest. No address, no header, no body.
      accessLogSettings: {
        destination: new LogGroupLogDestination(logs),
        format: AccessLogFormat.custom(
          JSON.stringify({
            requestId: '$context.requestId',
            time: '$context.requestTimeEpoch',
            method: '$context.httpMethod',
            path: '$context.path',
            status: '$context.status',
            error: '$context.integrationErrorMessage',
          }),
        ),
      },
    });
    if (domain !== undefined) new CfnOutput(this, 'Target', { value: domain.regionalDomainName });
    this.url = domainName === undefined ? stage.url : `https://${domainName}/`;
    Validations.of(this.api).acknowledge({
      id: 'AwsSolutions-APIG4',
      reason: 'Ingest itself asks for keys or signatures (auth.mode): API Gateway knows no tenants.',
    });
  }
}
