import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../lib/settings';
import { source } from './stack';

// The workflows, which only GitHub runs: mistakes that would stay unnoticed there.

const FOLDER = '.github/workflows';

test('nothing is deployed that has not passed CI, and nothing to prod that was not seen to work in dev', () => {
  assert.match(source(`${FOLDER}/ci.yml`), /^ {2}workflow_call:$/m);
  const deploy = source(`${FOLDER}/deploy.yml`);
  assert.match(deploy, /^ {2}ci:\n {4}uses: \.\/\.github\/workflows\/ci\.yml$/m);
  assert.match(deploy, /^ {2}dev:\n {4}needs: \[ci, build\]$/m);
  assert.match(deploy, /^ {2}check:\n {4}needs: dev$/m);
  assert.match(deploy, /tidegate doctor --stack Tidegate-dev$/m);
  assert.match(deploy, /^ {2}prod:\n {4}needs: check$/m);
});

test('a prod deployment that waits for approval delays only prod', () => {
  assert.doesNotMatch(source(`${FOLDER}/deploy.yml`), /^concurrency:/m);
  const job = /^ {4}concurrency:\n {6}group: deploy-\$\{\{ inputs\.stage \}\}\n {6}cancel-in-progress: false$/m;
  assert.match(source(`${FOLDER}/deploy-stage.yml`), job);
});

test('a command that fails before a pipe fails its step', () => {
  for (const file of readdirSync(join(ROOT, FOLDER))) {
    const workflow = source(`${FOLDER}/${file}`);
    // GitHub's default shell has no `pipefail`; `shell: bash` has it.
    if (/ \| (?!$)/m.test(workflow.replace(/: [|>]-?$/gm, ''))) {
      assert.match(workflow, /^defaults:\n {2}run:\n(?: {4}#.*\n)* {4}shell: bash$/m, file);
    }
  }
});

test('cargo-lambda has one version everywhere, and its own environment', () => {
  const files = [
    'tests/e2e/requirements.txt',
    'docs/deploy.md',
    'cdk/bin/assets.ts',
    `${FOLDER}/deploy.yml`,
    `${FOLDER}/release.yml`,
  ];
  const versions = files.map((file) => /cargo-lambda==([\d.]+)/.exec(source(file))?.[1]);
  assert.equal(new Set(versions).size, 1, versions.join(' '));
  assert.ok(versions[0] !== undefined);
  // A system Python refuses a plain `pip install` (PEP 668).
  for (const file of files) assert.doesNotMatch(source(file), /(?<!\/bin\/pip"? )\binstall cargo-lambda==/, file);
});

test('actions are named by the hash of a commit, since a tag may be moved', () => {
  for (const file of readdirSync(join(ROOT, FOLDER))) {
    for (const [, action] of source(`${FOLDER}/${file}`).matchAll(/\buses: (?!\.\/)(.*)$/gm)) {
      assert.match(action ?? '', /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, file);
    }
  }
});

test('a release is a draft of a tested commit, with the functions as they are deployed', () => {
  const release = source(`${FOLDER}/release.yml`);
  assert.match(release, /^ {2}archives:\n {4}needs: ci$/m);
  assert.match(release, /gh release create .* --draft /);
  const build = (workflow: string) => /cargo lambda build [^]*?--features \S+/.exec(workflow)?.[0];
  assert.equal(build(release), build(source(`${FOLDER}/deploy.yml`)));
});
