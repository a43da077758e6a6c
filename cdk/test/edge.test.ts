import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { Function, FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import {
  CloudFrontEdge,
  type CloudFrontEdgeProps,
  FunctionAssets,
  HttpApiEdge,
  type HttpApiEdgeProps,
  Tidegate,
} from '../lib/index';
import { app, type Json, nag, resource, resources, source } from './stack';

// What may be in front of ingest: docs/edge.md.

const VIRGINIA = { account: '123456789012', region: 'us-east-1' };
const FRANKFURT = { account: '123456789012', region: 'eu-central-1' };
const URL = 'https://abcdefghij.lambda-url.eu-central-1.on.aws/';
const LIVE = 'arn:aws:lambda:eu-central-1:123456789012:function:Tidegate-prod-Ingest:live';
const SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:tidegate-origin-AbCdEf';
const certificateOf = (scope: Stack, { region, account }: { region: string; account: string }) =>
  Certificate.fromCertificateArn(scope, 'Certificate', `arn:aws:acm:${region}:${account}:certificate/1234abcd`);

function cloudFront(change: Partial<CloudFrontEdgeProps> = {}, within = app(), withDomain = true): Stack {
  const made = new Stack(within, 'Edge', { env: VIRGINIA });
  new CloudFrontEdge(made, 'Edge', {
    url: URL,
    originSecret: Secret.fromSecretCompleteArn(made, 'Secret', SECRET),
    ...(withDomain && { domainName: 'events.example.com', certificate: certificateOf(made, VIRGINIA) }),
    ...change,
  });
  return made;
}

/** In front of a stage that is deployed, which is quicker to make than one of the same app. */
function httpApi(change: Partial<HttpApiEdgeProps> = {}, within = app(), withDomain = true): Stack {
  const made = new Stack(within, 'Shop', { env: FRANKFURT });
  new HttpApiEdge(made, 'Edge', {
    ingest: Function.fromFunctionAttributes(made, 'Live', { functionArn: LIVE, sameEnvironment: true }),
    ...(withDomain && { domainName: 'events.example.com', certificate: certificateOf(made, FRANKFURT) }),
    ...change,
  });
  return made;
}

test('CloudFront sends all of a request but its host to the Function URL, with the secret, and caches nothing', () => {
  const of = Template.fromStack(cloudFront());
  const { DistributionConfig: config } = resource(of, 'AWS::CloudFront::Distribution', 'Edge').Properties;
  const [origin, ...others] = config.Origins;
  assert.deepEqual(others, []);
  assert.equal(origin.DomainName, 'abcdefghij.lambda-url.eu-central-1.on.aws');
  assert.equal(origin.CustomOriginConfig.OriginProtocolPolicy, 'https-only');
  assert.deepEqual(origin.OriginCustomHeaders, [
    { HeaderName: 'X-Origin-Secret', HeaderValue: `{{resolve:secretsmanager:${SECRET}:SecretString:::}}` },
  ]);
  const behavior = config.DefaultCacheBehavior;
  assert.ok(behavior.AllowedMethods.includes('POST'));
  assert.equal(behavior.ViewerProtocolPolicy, 'https-only');
  // The ids of AWS's policies CachingDisabled and AllViewerExceptHostHeader.
  assert.equal(behavior.CachePolicyId, '4135ea2d-6df8-44a3-9df3-4b5a84be39ad');
  assert.equal(behavior.OriginRequestPolicyId, 'b689b0a8-53d0-40ab-baf2-68738e2966ac');
  assert.deepEqual(config.Aliases, ['events.example.com']);
  assert.equal(config.ViewerCertificate.MinimumProtocolVersion, 'TLSv1.2_2021');
  const acl = resource(of, 'AWS::WAFv2::WebACL', 'Edge');
  assert.deepEqual(config.WebACLId, { 'Fn::GetAtt': [acl.id, 'Arn'] });
});

test('the header has the name that ingest is configured with, and its secret is in no template', () => {
  const of = Template.fromStack(cloudFront({ originHeader: 'X-From-The-Edge' }));
  const { DistributionConfig: config } = resource(of, 'AWS::CloudFront::Distribution', 'Edge').Properties;
  const [{ HeaderName, HeaderValue }] = config.Origins[0].OriginCustomHeaders;
  assert.equal(HeaderName, 'X-From-The-Edge');
  assert.match(HeaderValue, /^\{\{resolve:secretsmanager:/);
});

test('WAF limits addresses and looks into no body', () => {
  const { Rules, Scope } = resource(
    Template.fromStack(cloudFront({ requestsPerAddress: 5_000 })),
    'AWS::WAFv2::WebACL',
    'Edge',
  ).Properties;
  assert.equal(Scope, 'CLOUDFRONT');
  const [addresses, rate] = Rules;
  assert.equal(rate.Statement.RateBasedStatement.Limit, 5_000);
  assert.equal(rate.Action.Block.CustomResponse.ResponseCode, 429);
  assert.equal(addresses.Statement.ManagedRuleGroupStatement.Name, 'AWSManagedRulesAmazonIpReputationList');
  assert.equal(Rules.length, 2);
  assert.doesNotMatch(JSON.stringify(Rules), /Body|CommonRuleSet|SQLi/);
});

test('CloudFront takes web ACLs of us-east-1 only, and a domain needs its certificate', () => {
  const elsewhere = new Stack(app(), 'Edge', { env: FRANKFURT });
  const originSecret = Secret.fromSecretCompleteArn(elsewhere, 'Secret', SECRET);
  assert.throws(
    () => new CloudFrontEdge(elsewhere, 'Edge', { url: URL, originSecret }),
    /is in eu-central-1, but CloudFront takes web ACLs of us-east-1 only/,
  );
  assert.throws(() => cloudFront({ certificate: undefined }), /domainName and certificate go together/);
  assert.throws(() => httpApi({ certificate: undefined }), /domainName and certificate go together/);
});

test('an HTTP API invokes the live version in payload format 2.0, without a stage in the path', () => {
  const of = Template.fromStack(httpApi());
  const integration = resource(of, 'AWS::ApiGatewayV2::Integration', 'Edge').Properties;
  assert.equal(integration.IntegrationUri, LIVE);
  assert.deepEqual([integration.PayloadFormatVersion, integration.TimeoutInMillis], ['2.0', 29_000]);
  assert.equal(resource(of, 'AWS::ApiGatewayV2::Route', 'Edge').Properties.RouteKey, '$default');
  const stage = resource(of, 'AWS::ApiGatewayV2::Stage', 'Edge').Properties;
  assert.deepEqual([stage.StageName, stage.AutoDeploy], ['$default', true]);
  assert.equal(stage.DefaultRouteSettings.ThrottlingRateLimit, 1_000);
  assert.doesNotMatch(stage.AccessLogSettings.Format, /sourceIp|header|body/i);
  assert.equal(resource(of, 'AWS::ApiGatewayV2::Api', 'Edge').Properties.DisableExecuteApiEndpoint, true);
  const [domain] = resource(of, 'AWS::ApiGatewayV2::DomainName', 'Edge').Properties.DomainNameConfigurations;
  assert.equal(domain.SecurityPolicy, 'TLS_1_2');
});

test('of the same app, only API Gateway may invoke ingest, and the Function URL is closed', () => {
  const made = new Stack(app(), 'Shop', { env: FRANKFURT });
  const auth = FunctionUrlAuthType.AWS_IAM;
  const { ingest } = new Tidegate(made, 'Events', { assets: FunctionAssets.placeholder(), ingest: { auth } });
  new HttpApiEdge(made, 'Edge', { ingest });
  const of = Template.fromStack(made);
  const live = { Ref: resource(of, 'AWS::Lambda::Alias', 'Events').id };
  const permissions = resources(of, 'AWS::Lambda::Permission').map(({ Properties }) => Properties);
  assert.equal(permissions.length, 1);
  assert.deepEqual([permissions[0].Principal, permissions[0].FunctionName], ['apigateway.amazonaws.com', live]);
  assert.ok(permissions[0].SourceArn);
  assert.equal(resource(of, 'AWS::Lambda::Url', 'Events').Properties.AuthType, 'AWS_IAM');
});

test('without a domain, the addresses of AWS are used', () => {
  const of = Template.fromStack(httpApi({}, app(), false));
  assert.deepEqual(resources(of, 'AWS::ApiGatewayV2::DomainName'), []);
  assert.equal(resource(of, 'AWS::ApiGatewayV2::Api', 'Edge').Properties.DisableExecuteApiEndpoint, false);
  const { DistributionConfig: config } = resource(
    Template.fromStack(cloudFront({}, app(), false)),
    'AWS::CloudFront::Distribution',
    'Edge',
  ).Properties;
  assert.deepEqual([config.Aliases, config.ViewerCertificate], [undefined, undefined]);
});

for (const [name, make] of Object.entries<(withDomain: boolean) => Json>({
  CloudFront: edgeOf(cloudFront),
  'HTTP API': edgeOf(httpApi),
})) {
  test(`${name} passes cdk-nag, with a domain and without`, () => {
    assert.deepEqual([make(true), make(false)], [[], []]);
  });
}

function edgeOf(make: (change: object, within: ReturnType<typeof app>, withDomain: boolean) => Stack) {
  return (withDomain: boolean) => {
    const within = app();
    make({}, within, withDomain);
    return nag(within);
  };
}

test('docs/edge.md names every prop of both', () => {
  const page = source('docs/edge.md');
  for (const file of ['cloud-front-edge', 'http-api-edge']) {
    for (const [, prop] of source(`cdk/lib/edge/${file}.ts`).matchAll(
      /^ {2}readonly (\w+)\??: (?!Distribution|CfnWebACL|HttpApi;)/gm,
    )) {
      assert.ok(page.includes(`\`${prop}\``), `${file}: ${prop}`);
    }
  }
});
