/** Tables in pages of the documentation. */

export const row = (cells: string[]) => `| ${cells.join(' | ')} |`;

/** Of a table of numbers, but for its first column. */
export const head = (cells: string[]) => [row(cells), `|${cells.map((_, i) => (i ? '---:|' : '---|')).join('')}`];

/** The page with other lines after its marker `<!-- name -->`, up to `<!-- end -->`. */
export function withLines(page: string, name: string, lines: readonly string[]): string {
  return page.replace(
    new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- end -->)`),
    (_, begin: string, end: string) => `${begin}\n${lines.join('\n')}\n\n${end}`,
  );
}
