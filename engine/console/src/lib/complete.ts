// What may stand at the caret of a SQL text? Tables, columns of the tables that the text names, functions and words.

import type { Table } from './api';

const WORDS = [
  'SELECT', 'FROM', 'WHERE', 'GROUP BY', 'ORDER BY', 'LIMIT', 'JOIN', 'ASOF JOIN', 'MATCH_CONDITION', 'LEFT JOIN', 'USING', 'ON', 'AS', 'AND', 'OR', 'NOT',
  'DISTINCT', 'HAVING', 'BETWEEN', 'CASE', 'WHEN', 'THEN', 'ELSE', 'END', 'DESC', 'NULL', 'INTERVAL', 'DESCRIBE', 'EXPLAIN', 'SHOW TABLES', 'SHOW FUNCTIONS', 'WITH',
];
const MOST = 12;

export interface Choice {
  text: string;
  /** `table`, a column's unit, `function`. */
  note: string;
}

/** The start of a word before the caret, and what could come of it. */
export function completions(sql: string, caret: number, tables: Table[], functions: string[]): { from: number; choices: Choice[] } {
  const word = /[A-Za-z_]\w*$/.exec(sql.slice(0, caret))?.[0] ?? '';
  const from = caret - word.length;
  if (word.length === 0) return { from, choices: [] };
  const named = new Set(sql.match(/\w+/g) ?? []);
  const inText = tables.filter(({ name }) => named.has(name) || named.has(`${name}_latest`) || named.has(`${name}_all`));
  const afterTable = /\b(from|join)\s+$/i.test(sql.slice(0, from));
  const columns = inText.flatMap((table) => table.columns.map((column) => ({ text: column.name, note: column.unit ?? column.type })));
  const all: Choice[] = [
    ...(afterTable ? [] : columns),
    ...tables.map(({ name }) => ({ text: name, note: 'table' })),
    ...(afterTable ? [] : functions.map((text) => ({ text: `${text}(`, note: 'function' }))),
    ...WORDS.map((text) => ({ text, note: '' })),
  ];
  const low = word.toLowerCase();
  const seen = new Set<string>();
  const choices = all.filter(({ text }) => text.toLowerCase().startsWith(low) && text !== word && !seen.has(text) && seen.add(text));
  return { from, choices: choices.slice(0, MOST) };
}
