import {
  AccountRootPrincipal,
  type IPrincipal,
  PolicyStatement,
  PrincipalWithConditions,
  Role,
} from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { BY_RECEIVED_AT, type ItemsTable } from './items-table';

/** The session tag that names the tenant. */
export const TENANT_TAG = 'tenant';

export interface TenantReaderProps {
  readonly items: ItemsTable;
  /** Who may take the role on. By default whoever the account itself lets. */
  readonly readers?: IPrincipal;
}

/**
 * A role whose sessions read the items of one tenant: the one that the session tag `tenant` names. It is for a service that
 * shows customers their own events, and assumes the role once for each of them.
 */
export class TenantReader extends Construct {
  readonly role: Role;

  constructor(scope: Construct, id: string, props: TenantReaderProps) {
    super(scope, id);
    const readers = new PrincipalWithConditions(props.readers ?? new AccountRootPrincipal(), {
      // A session without the tag would match the partition `tenants/`; there must be one.
      StringLike: { [`aws:RequestTag/${TENANT_TAG}`]: '?*' },
    });
    this.role = new Role(this, 'Role', {
      assumedBy: readers.withSessionTags(),
      description: 'Reads the items of the tenant that the session tag `tenant` names',
    });
    const { table } = props.items;
    this.role.addToPolicy(
      new PolicyStatement({
        // No Scan, no PartiQL: both could be asked without naming a partition.
        actions: ['dynamodb:GetItem', 'dynamodb:Query'],
        resources: [table.tableArn, `${table.tableArn}/index/${BY_RECEIVED_AT}`],
        conditions: {
          // Asked of the index, these are the index's partitions: `tenants/acme`, and `tenants/acme#0` and so on where the
          // tenant is spread. `#` is in no tenant's id and in no tag's value, and neither is a wildcard in a tag's value.
          'ForAllValues:StringLike': {
            'dynamodb:LeadingKeys': [
              `tenants/\${aws:PrincipalTag/${TENANT_TAG}}`,
              `tenants/\${aws:PrincipalTag/${TENANT_TAG}}#*`,
            ],
          },
          // `ForAllValues` holds for a request that names no key at all.
          Null: { 'dynamodb:LeadingKeys': 'false' },
        },
      }),
    );
  }
}
