/** What the project's pages show: their text, blocks of shell, and command lines. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Every page by its name from the root. */
export function readPages(root: string): Record<string, string> {
  const docs = readdirSync(join(root, 'docs')).map((name) => `docs/${name}`);
  const all = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...docs];
  return Object.fromEntries(all.map((name) => [name, readFileSync(join(root, name), 'utf8')]));
}

/** The blocks that are marked as shell, without their indentation. */
export function shellBlocks(markdown: string): string[] {
  return [...markdown.matchAll(/^( *)```sh\n([\s\S]*?)^ *```$/gm)].map(([, indent, block]) => {
    return block!.replaceAll(new RegExp(`^${indent}`, 'gm'), '').trimEnd();
  });
}

/** Commands of `lethe` and of npm, in blocks and in the text, each as words. */
export function commandsOf(markdown: string): string[][] {
  const spans = [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!);
  const lines = shellBlocks(markdown).flatMap((block) => block.split('\n'));
  return [...spans, ...lines]
    .flatMap((text) => text.split(/&&|;|#/))
    .map((text) => text.trim().split(/\s+/))
    .map((words) => words.filter((word) => !/^\w+=/.test(word) && word !== 'npx'))
    .filter(([tool, next]) => next !== undefined && (tool === 'lethe' || tool === 'npm'));
}
