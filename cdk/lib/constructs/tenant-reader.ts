import { AccountRootPrincipal, PolicyStatement, PrincipalWithConditions, Role } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { CONTRACT } from '../contract';
import type { ItemsTable } from './items-table';
import { usesKey } from './resources';

/** The session tag that names the tenant. */
const TENANT_TAG = 'tenant';

export interface TenantReaderProps {
  readonly items: ItemsTable;
}

/**
 * A role whose sessions read one tenant's items: the tenant in the session tag `tenant`. A service that shows customers their
 * own events assumes it once for each customer.
 */
export class TenantReader extends Construct {
  readonly role: Role;

  constructor(scope: Construct, id: string, props: TenantReaderProps) {
    super(scope, id);
    // Every principal that the account allows to assume the role.
    const readers = new PrincipalWithConditions(new AccountRootPrincipal(), {
      // A session without the tag would match the partition `tenants/`. So the tag is required.
      StringLike: { [`aws:RequestTag/${TENANT_TAG}`]: '?*' },
    });
    this.role = new Role(this, 'Role', {
      assumedBy: readers.withSessionTags(),
      description: 'Reads the items of the tenant that the session tag `tenant` names',
    });
    const { table, hasIndex } = props.items;
    if (table.encryptionKey !== undefined) this.role.addToPolicy(usesKey(table.encryptionKey));
    const { partitions, index } = CONTRACT.items;
    this.role.addToPolicy(
      new PolicyStatement({
        // Neither Scan nor PartiQL: both work without naming a partition.
        actions: ['dynamodb:GetItem', 'dynamodb:Query'],
        resources: hasIndex ? [table.tableArn, `${table.tableArn}/index/${index.name}`] : [table.tableArn],
        conditions: {
          // For the index these are its own partitions: `tenants/acme`, or `tenants/acme#0` and so on for a spread tenant.
          // A tenant id never contains `#`, and a tag's value never contains a wildcard.
          'ForAllValues:StringLike': {
            'dynamodb:LeadingKeys': [...new Set([...partitions, ...index.partitions])].map(ofSession),
          },
          // `ForAllValues` is also true for a request that names no key.
          Null: { 'dynamodb:LeadingKeys': 'false' },
        },
      }),
    );
  }
}

/** The partition of the session's tenant, as a pattern. */
function ofSession(partition: string): string {
  return partition.replace('{tenant}', `\${aws:PrincipalTag/${TENANT_TAG}}`).replace('{key}', '*');
}
