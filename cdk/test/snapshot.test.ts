import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Json, STAGES, template } from './stack';

// Resources by logical id, and the statements of every role. A changed id replaces a resource and its data; a changed statement
// changes security. `UPDATE_SNAPSHOTS=1 npm test` accepts both.

for (const stage of STAGES) {
  test(`${stage}: resources, roles and outputs are those of the snapshot`, () => {
    const { Resources, Outputs } = template(stage).toJSON();
    const shape = {
      resources: Object.fromEntries(Object.entries<Json>(Resources).map(([id, { Type }]) => [id, Type])),
      policies: Object.fromEntries(
        Object.entries<Json>(Resources)
          .filter(([, { Type }]) => /Policy$/.test(Type))
          .map(([id, { Properties }]) => [id, Properties.PolicyDocument.Statement]),
      ),
      outputs: Outputs,
    };
    const text = `${JSON.stringify(shape, undefined, 1).replace(/(CurrentVersion)\w+/g, '$1')}\n`;
    const file = join(__dirname, `${stage}.snapshot.json`);
    if (process.env.UPDATE_SNAPSHOTS || !existsSync(file)) writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });
}
