/**
 * Writes `dist/` of the package, without its types: `npm run package` adds them by `tsc`. It has the folders of the repository, so that
 * the library finds its files at the same places.
 */

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { ROOT } from '../lib/settings';

const FILES = [
  'LICENSE-APACHE',
  'LICENSE-MIT',
  'tidegate.toml',
  ...['contract.json', 'sql', 'assets/placeholder'].map((file) => join('cdk', file)),
];

/** Below `folder`. What is there of an earlier build is deleted. */
export function writeDist(folder: string): void {
  const dist = join(folder, 'dist');
  rmSync(dist, { recursive: true, force: true });
  for (const file of FILES) cpSync(join(ROOT, file), join(dist, file), { recursive: true });
  const lib = join(ROOT, 'cdk', 'lib');
  for (const file of readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))) {
    const to = join(dist, 'cdk', 'lib', file.replace(/ts$/, 'js'));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, javaScript(readFileSync(join(lib, file), 'utf8')));
  }
}

/** `tsc` would read all types of the CDK for the same text. */
function javaScript(typeScript: string): string {
  const compilerOptions = { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022, esModuleInterop: true };
  return transpileModule(typeScript, { compilerOptions }).outputText;
}

if (require.main === module) writeDist(join(ROOT, 'cdk'));
