import { Stack, Validations } from 'aws-cdk-lib';
import { CfnVPCEndpoint, type ISecurityGroup, type IVpc, Port, SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { NetworkConfig } from '../config';
import { CONTRACT } from '../contract';

export interface NetworkProps extends NetworkConfig {
  /** Whether a function reads a secret. */
  readonly secrets: boolean;
}

/** What a function in a VPC needs of EC2. None of it can be limited to resources. */
export const INTERFACES = new PolicyStatement({ actions: CONTRACT.actions.inVpc, resources: ['*'] });

/** Where the functions run, if they are to be in a VPC, and how they reach the services from there without the internet. */
export class Network extends Construct {
  readonly vpc: IVpc;
  readonly group: ISecurityGroup;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const { vpcId, subnetIds, routeTableIds = [] } = props;
    this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
      vpcId,
      privateSubnetIds: [...subnetIds],
      // Only their number is used.
      availabilityZones: subnetIds.map((_, i) => `zone-${i}`),
    });
    Validations.of(this.vpc).acknowledge({
      id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
      reason: 'Only endpoints need route tables. They are given their ids.',
    });
    const group = new SecurityGroup(this, 'Group', {
      vpc: this.vpc,
      description: 'Functions of Tidegate, and the endpoints that they reach',
    });
    group.addIngressRule(group, Port.HTTPS, 'functions to endpoints');
    this.group = group;
    // A VPC has one endpoint for each service: where it has them already, no route tables are given.
    if (routeTableIds.length === 0) return;
    for (const service of ['s3', 'dynamodb']) {
      this.endpoint(service, { vpcEndpointType: 'Gateway', routeTableIds: [...routeTableIds] });
    }
    for (const service of ['kinesis-streams', 'sqs', ...(props.secrets ? ['secretsmanager'] : [])]) {
      this.endpoint(service, {
        vpcEndpointType: 'Interface',
        subnetIds: [...subnetIds],
        securityGroupIds: [group.securityGroupId],
        privateDnsEnabled: true,
      });
    }
  }

  private endpoint(service: string, more: object): void {
    const serviceName = `com.amazonaws.${Stack.of(this).region}.${service}`;
    new CfnVPCEndpoint(this, service, { vpcId: this.vpc.vpcId, serviceName, ...more });
  }
}
