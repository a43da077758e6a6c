import { CfnOutput, DefaultStackSynthesizer, Fn, Stack, type StackProps, Tags } from 'aws-cdk-lib';
import {
  type IOidcProvider,
  ManagedPolicy,
  OidcProviderNative,
  PolicyStatement,
  Role,
  WebIdentityPrincipal,
} from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';

export interface GitHubStackProps extends StackProps {
  /** As it is in the subject of GitHub's tokens: `acme/tidegate`, or `acme@123456/tidegate@456789`. */
  readonly repository: string;
  /** The environments that deploy. Each has a role of its own. */
  readonly environments: readonly string[];
  /** Whether the account has GitHub's identity provider already. An account has one for each issuer. */
  readonly hasProvider: boolean;
  /** The environment that checks what was deployed, and the policies of its role. Without policies there is no such role. */
  readonly check: { readonly environment: string; readonly policyArns: readonly string[] };
}

const ISSUER = 'token.actions.githubusercontent.com';
const AUDIENCE = 'sts.amazonaws.com';
/** The roles of `cdk bootstrap` that `cdk deploy` assumes. There is one more, for container images, which Tidegate has none of. */
const BOOTSTRAP = ['deploy', 'file-publishing', 'lookup'];

/** What GitHub Actions may do in this account: the roles of `.github/workflows/deploy.yml`. It has no key, and nothing else. */
export class GitHubStack extends Stack {
  constructor(scope: Construct, id: string, props: GitHubStackProps) {
    super(scope, id, props);
    const { repository, environments, hasProvider, check } = checked(props);
    const provider = hasProvider
      ? OidcProviderNative.fromOidcProviderArn(this, 'Provider', this.providerArn())
      : new OidcProviderNative(this, 'Provider', { url: `https://${ISSUER}`, clientIds: [AUDIENCE] });

    for (const environment of environments) {
      const role = new Role(this, `Deploy-${environment}`, {
        assumedBy: workflow(provider, repository, environment),
        description: `Deploys Tidegate from the environment ${environment} of ${repository}`,
      });
      role.addToPolicy(new PolicyStatement({ actions: ['sts:AssumeRole'], resources: this.bootstrapRoles() }));
      this.output(`DeployRole${environment.charAt(0).toUpperCase()}${environment.slice(1)}`, role);
    }
    if (check.policyArns.length > 0) {
      const role = new Role(this, 'Check', {
        assumedBy: workflow(provider, repository, check.environment),
        description: `Checks what was deployed from the environment ${check.environment} of ${repository}`,
        managedPolicies: check.policyArns.map((arn, at) =>
          ManagedPolicy.fromManagedPolicyArn(this, `Policy${at}`, arn),
        ),
      });
      this.output('OperatorRole', role);
    }
    for (const [key, value] of Object.entries({ application: 'tidegate', 'cost-center': 'tidegate' })) {
      Tags.of(this).add(key, value);
    }
  }

  private providerArn(): string {
    return this.formatArn({ service: 'iam', region: '', resource: 'oidc-provider', resourceName: ISSUER });
  }

  private bootstrapRoles(): string[] {
    const qualifier: unknown =
      this.node.tryGetContext('@aws-cdk/core:bootstrapQualifier') ?? DefaultStackSynthesizer.DEFAULT_QUALIFIER;
    return BOOTSTRAP.map((role) =>
      this.formatArn({
        service: 'iam',
        region: '',
        resource: 'role',
        resourceName: Fn.join('-', ['cdk', String(qualifier), role, 'role', this.account, this.region]),
      }),
    );
  }

  private output(name: string, role: Role): void {
    const id = name.replace(/[^A-Za-z0-9]/g, '');
    new CfnOutput(this, `Output${id}`, { value: role.roleArn }).overrideLogicalId(id);
  }
}

/** A job of this repository in this environment, and no other: not of its forks, and not of a pull request. */
function workflow(provider: IOidcProvider, repository: string, environment: string): WebIdentityPrincipal {
  return new WebIdentityPrincipal(provider.oidcProviderArn, {
    StringEquals: {
      [`${ISSUER}:aud`]: AUDIENCE,
      [`${ISSUER}:sub`]: `repo:${repository}:environment:${environment}`,
    },
  });
}

/** A wildcard in the subject would trust others. */
function checked(props: GitHubStackProps): GitHubStackProps {
  const { repository, environments, check } = props;
  if (!/^[\w.-]+(@\d+)?\/[\w.-]+(@\d+)?$/.test(repository)) {
    throw new Error(
      `repository \`${repository}\` is not allowed (allowed: OWNER/NAME, or OWNER@ID/NAME@ID for a repository with immutable subjects)`,
    );
  }
  for (const environment of [...environments, check.environment]) {
    if (!/^[A-Za-z0-9][\w.-]*$/.test(environment)) {
      throw new Error(
        `environment \`${environment}\` is not allowed (allowed: letters, digits, \`.\`, \`_\` and \`-\`)`,
      );
    }
  }
  for (const arn of check.policyArns) {
    if (!/^arn:aws[\w-]*:iam::\d{12}:policy\/\S+$/.test(arn)) {
      throw new Error(
        `policy \`${arn}\` is not allowed (allowed: the ARN of a managed policy, such as the output OperatorRead)`,
      );
    }
  }
  return props;
}
