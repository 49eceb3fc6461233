// What does a session's report hold? Each part is one question to the tables; what a pipeline doesn't give is left out.

import { ask, quoted, text, type Row, type Table } from './api';

export interface Measure {
  name: string;
  unit: string;
  left: Value;
  right: Value;
  /** Robinson's symmetry index in percent; 0 is the same on either side. */
  symmetry: number | null;
}

export interface Value {
  mean: number | null;
  deviation: number | null;
}

export interface Report {
  session: string;
  subject: string | null;
  task: string | null;
  begun_ns: number;
  ended_ns: number | null;
  runs: { pipeline: string; run_id: string; build: string }[];
  gait: { table: string; cycles: Record<string, number>; measures: Measure[] } | undefined;
  angles: { name: string; least: number; greatest: number }[];
  muscles: { name: string; mean: number; peak: number }[];
  alerts: { step: string; state: string; count: number; reasons: string }[];
  quality: { stream: string; lost: number; late: number; rejected: number }[];
  entries: { time_ns: number; kind: string; text: string; author: string }[];
}

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);
const has = (table: Table, ...columns: string[]): boolean => columns.every((name) => table.columns.some((column) => column.name === name));

/** Asks for everything. */
export async function report(session: string, tables: Table[], signal: AbortSignal): Promise<Report> {
  const of = `WHERE session = ${text(session)}`;
  const there = new Set(tables.map(({ name }) => name));
  const rows = (table: string, sql: string): Promise<Row[]> => (there.has(table) ? ask(sql, signal) : Promise.resolve([]));
  const [sessions, runs, gait, angles, muscles, alerts, quality, entries] = await Promise.all([
    ask(`SELECT state, subject, task, time_ns, end_ns FROM sessions ${of} ORDER BY time_ns`, signal),
    rows('lineage', `SELECT DISTINCT pipeline, run_id, build FROM lineage ${of}`),
    gaitOf(tables, of, signal),
    anglesOf(tables, of, signal),
    musclesOf(tables, of, signal),
    rows('alerts', `SELECT step, state, count(*) AS count, string_agg(DISTINCT reason, '; ') AS reasons FROM alerts ${of} GROUP BY step, state ORDER BY step, state`),
    qualityOf(of, signal),
    entriesOf(there, of, signal),
  ]);
  const [first, last] = [sessions[0], sessions.at(-1)];
  return {
    session,
    subject: (first?.subject as string | undefined) ?? null,
    task: (first?.task as string | undefined) ?? null,
    begun_ns: Number(first?.time_ns ?? 0),
    ended_ns: last?.state === 'ended' ? Number(last.time_ns) : null,
    runs: runs as unknown as Report['runs'],
    gait,
    angles,
    muscles,
    alerts: alerts as unknown as Report['alerts'],
    quality,
    entries,
  };
}

/** Parameters of gait: the step that has cycles by side. */
async function gaitOf(tables: Table[], of: string, signal: AbortSignal): Promise<Report['gait']> {
  const table = tables.find((table) => has(table, 'stride_time_s', 'side'));
  if (!table) return undefined;
  const measured = table.columns.filter(({ name, type, unit }) => type === 'Float64' && unit !== null && unit !== '1' && !name.endsWith('_ns'));
  const sided = (side: string) => `FILTER (WHERE side = '${side}')`;
  const asked = measured.flatMap(({ name }, at) => [
    ...['left', 'right'].flatMap((side) => [`avg(${quoted(name)}) ${sided(side)} AS ${side}_${at}`, `stddev(${quoted(name)}) ${sided(side)} AS ${side}_deviation_${at}`]),
    `symmetry_index(avg(${quoted(name)}) ${sided('left')}, avg(${quoted(name)}) ${sided('right')}) AS symmetry_${at}`,
  ]);
  const counts = ['left', 'right'].map((side) => `count(*) ${sided(side)} AS ${side}_cycles`);
  const [row] = await ask(`SELECT ${[...counts, ...asked].join(', ')} FROM ${quoted(table.name)} ${of}`, signal);
  if (!row || Number(row.left_cycles) + Number(row.right_cycles) === 0) return undefined;
  const value = (side: string, at: number) => ({ mean: number(row[`${side}_${at}`]), deviation: number(row[`${side}_deviation_${at}`]) });
  const measures = measured.map(({ name, unit }, at) => ({
    name: plain(name, unit),
    unit: unit ?? '',
    left: value('left', at),
    right: value('right', at),
    symmetry: number(row[`symmetry_${at}`]),
  }));
  const cycles = { left: Number(row.left_cycles), right: Number(row.right_cycles) };
  return { table: table.name, cycles, measures: measures.filter(({ left, right }) => left.mean !== null || right.mean !== null) };
}

/** Range of each joint angle. */
async function anglesOf(tables: Table[], of: string, signal: AbortSignal): Promise<Report['angles']> {
  const table = tables.find(({ columns }) => columns.filter(({ name, unit }) => unit === 'deg' && /flexion|obliquity|tilt/.test(name)).length > 1);
  const names = table?.columns.filter(({ unit, type }) => unit === 'deg' && type === 'Float64').map(({ name }) => name) ?? [];
  if (!table || names.length === 0) return [];
  // A hundredth at either end is left out: one bad sample is no range of motion.
  const asked = names.flatMap((name, at) => [0.01, 0.99].map((share, end) => `approx_percentile_cont(${share}) WITHIN GROUP (ORDER BY ${quoted(name)}) AS v${at}_${end}`));
  const [row] = await ask(`SELECT ${asked.join(', ')} FROM ${quoted(table.name)} ${of}`, signal);
  return names.flatMap((name, at) => {
    const [least, greatest] = [number(row?.[`v${at}_0`]), number(row?.[`v${at}_1`])];
    return least === null || greatest === null ? [] : [{ name: plain(name, 'deg'), least, greatest }];
  });
}

/** Mean and peak of each muscle's envelope, in µV. */
async function musclesOf(tables: Table[], of: string, signal: AbortSignal): Promise<Report['muscles']> {
  const table = tables.find(({ columns }) => columns.some(({ name }) => name.endsWith('_envelope_v')));
  const names = table?.columns.map(({ name }) => name).filter((name) => name.endsWith('_envelope_v')) ?? [];
  if (!table) return [];
  const asked = names.flatMap((name, at) => [`avg(${quoted(name)}) * 1e6 AS mean_${at}`, `max(${quoted(name)}) * 1e6 AS peak_${at}`]);
  const [row] = await ask(`SELECT ${asked.join(', ')} FROM ${quoted(table.name)} ${of}`, signal);
  return names.flatMap((name, at) => {
    const [mean, peak] = [number(row?.[`mean_${at}`]), number(row?.[`peak_${at}`])];
    return mean === null || peak === null ? [] : [{ name: name.replace('_envelope_v', '').replaceAll('_', ' '), mean, peak }];
  });
}

/** What did not come as it should, stream by stream. */
async function qualityOf(of: string, signal: AbortSignal): Promise<Report['quality']> {
  const each = ['losses', 'late', 'rejected'].map((table) => `SELECT stream, '${table}' AS what, ${table === 'losses' ? 'sum(count)' : 'count(*)'} AS n FROM ${table} ${of} GROUP BY stream`);
  const rows = await ask(each.join(' UNION ALL '), signal);
  const byStream = new Map<string, Report['quality'][number]>();
  for (const row of rows) {
    const stream = String(row.stream);
    const found = byStream.get(stream) ?? { stream, lost: 0, late: 0, rejected: 0 };
    found[row.what === 'losses' ? 'lost' : (row.what as 'late' | 'rejected')] = Number(row.n ?? 0);
    byStream.set(stream, found);
  }
  return [...byStream.values()].sort((a, b) => a.stream.localeCompare(b.stream));
}

async function entriesOf(there: Set<string>, of: string, signal: AbortSignal): Promise<Report['entries']> {
  const parts: [string, string][] = [
    ['trials', `SELECT time_ns, 'trial' AS kind, trial AS text, '' AS author FROM trials ${of}`],
    ['events', `SELECT time_ns, 'mark' AS kind, coalesce(label, event) AS text, '' AS author FROM events ${of}`],
    ['notes', `SELECT time_ns, 'note' AS kind, text, author FROM notes ${of}`],
    ['outcomes', `SELECT time_ns, 'outcome' AS kind, instrument || ' ' || CAST(round(value) AS BIGINT) || ' ' || value_unit AS text, author FROM outcomes ${of}`],
  ];
  const asked = parts.filter(([table]) => there.has(table)).map(([, sql]) => sql);
  if (asked.length === 0) return [];
  return (await ask(`SELECT * FROM (${asked.join(' UNION ALL ')}) ORDER BY time_ns LIMIT 200`, signal)) as unknown as Report['entries'];
}

/** `stride_length_m` in m is “stride length”. */
function plain(name: string, unit: string | null): string {
  const suffix = ({ s: '_s', m: '_m', '%': '_percent', '1/min': '_steps_per_min', 'm/s': '_m_per_s', deg: '_deg' } as Record<string, string>)[unit ?? ''];
  return (suffix && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name).replaceAll('_', ' ');
}
