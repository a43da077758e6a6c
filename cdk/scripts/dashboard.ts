/** Writes `docs/samples/dashboard.json`: the body of the `dev` stage's dashboard, with names in place of references. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lib/settings';
import { resource, template } from '../test/stack';

const PSEUDO: Record<string, string> = { 'AWS::Region': 'us-east-1', 'AWS::AccountId': '123456789012' };

/** A string of a template, with logical ids in place of references. */
type Text =
  | string
  | { readonly 'Fn::Join': readonly [string, readonly Text[]] }
  | { readonly 'Fn::GetAtt': readonly string[] }
  | { readonly Ref: string };

function resolved(text: Text): string {
  if (typeof text === 'string') return text;
  if ('Fn::Join' in text) {
    const [separator, parts] = text['Fn::Join'];
    return parts.map(resolved).join(separator);
  }
  if ('Fn::GetAtt' in text) return text['Fn::GetAtt'].join('.');
  return PSEUDO[text.Ref] ?? text.Ref;
}

const dashboard = resource(template('dev'), 'AWS::CloudWatch::Dashboard', 'Monitoring');
const { DashboardBody } = dashboard.Properties as { DashboardBody: Text };
const body: unknown = JSON.parse(resolved(DashboardBody));
writeFileSync(join(ROOT, 'docs', 'samples', 'dashboard.json'), `${JSON.stringify(body, undefined, 1)}\n`);
