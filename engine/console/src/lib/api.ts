// How does the page ask the engine? SQL, the typed requests of `/v1/control`, and the list of tables.

export type Row = Record<string, unknown>;

/** What the engine refuses, in its own words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** `left a` is `"left a"`, as SQL writes names. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** A text as SQL writes it. */
export const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;

async function answered(response: Response): Promise<Response> {
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, String(problem.detail ?? response.statusText));
}

/** Asks one statement; its rows. */
export async function ask(sql: string, signal?: AbortSignal): Promise<Row[]> {
  return (await answered(await questioned(sql, 'application/json', signal))).json();
}

/** Asks one statement; the whole answer in a form to be saved. */
export async function save(sql: string, form: 'text/csv' | 'application/vnd.apache.parquet'): Promise<Blob> {
  return (await answered(await questioned(sql, form))).blob();
}

function questioned(sql: string, accept: string, signal?: AbortSignal): Promise<Response> {
  return fetch('/v1/sql', { method: 'POST', headers: { 'content-type': 'application/sql', accept }, body: sql, signal });
}

/** Follows a live query until it is aborted; throws when it fails. */
export async function follow(sql: string, rows: (rows: Row[]) => void, signal: AbortSignal): Promise<void> {
  const response = await answered(await fetch(`/v1/subscribe?sql=${encodeURIComponent(sql)}`, { signal }));
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = '';
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    waiting += part.value;
    const events = waiting.split('\n\n');
    waiting = events.pop() ?? '';
    for (const event of events) {
      const lines = event.split('\n');
      const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
      if (lines.includes('event: error')) throw new Refused(0, data);
      if (lines.includes('event: rows')) rows(JSON.parse(data));
    }
  }
}

export interface Column {
  name: string;
  type: string;
  unit: string | null;
  segment: string | null;
  side: string | null;
  sensor: string | null;
}

export interface Table {
  name: string;
  columns: Column[];
}

/** The tables that the user may see. */
export async function tables(): Promise<Table[]> {
  return (await (await answered(await fetch('/v1/tables'))).json()).tables;
}

export interface SensorStatus {
  name: string;
  present: boolean;
  rows: number;
  lost: number;
  late: number;
  rejected: number;
  duplicates: number;
  watermark_ns: number | null;
  idle: boolean;
  clock: { offset_ns: number; drift_ppb: number; uncertainty_ns: number | null } | null;
  declared_rate_hz: number | null;
  rate_hz: number | null;
}

export interface StepStatus {
  id: string;
  stream: string;
  watermark_ns: number | null;
  waiting_rows: number;
  waits_for: string[];
  since_ns: number | null;
}

export interface Status {
  rig: string;
  session: string;
  position: number;
  durable_position: number;
  tables_position: number;
  now_ns: number;
  tail_bytes: number;
  trouble: string | null;
  sensors: SensorStatus[];
  steps: StepStatus[];
}

export interface RigSensor {
  kind: string;
  key?: string | null;
  rate?: string | null;
  segment?: string | null;
  side?: string | null;
  channels?: Record<string, string>;
  labels?: string[];
  clock?: string;
}

export interface Rig {
  rig: string;
  sensors: Record<string, RigSensor>;
}

export type Request =
  | { request: 'session_start'; subject?: string; task?: string; carry?: string }
  | { request: 'session_stop' | 'rig' | 'status' | 'reload' | 'files' }
  | { request: 'check'; file: string; text: string }
  | { request: 'edit'; file: string; text: string; was: string }
  | { request: 'trial'; name: string }
  | { request: 'mark'; label: string; time_ns?: number }
  | { request: 'note'; note: { author: string; text: string }; time_ns?: number }
  | { request: 'acknowledge'; alert: string; author: string; text?: string }
  | { request: 'outcome'; author: string; instrument: string; items: (number | null)[] };

export interface FileText {
  file: string;
  text: string;
}

/** A mistake in a file, as `proprio check` finds it; line 0 is the file as a whole. */
export interface Finding {
  file: string;
  line: number;
  column: number;
  length: number;
  is_error: boolean;
  message: string;
  help: string | null;
}

export interface Reply {
  done?: { session: string; position: number };
  rig?: Rig;
  status?: Status;
  files?: FileText[];
  checked?: { findings: Finding[] };
  reloaded?: { position: number; run_id: string; kept: string[]; fresh: string[] };
}

/** Asks the rig for a change; throws with its reason when it refuses. */
export async function control(request: Request): Promise<Reply> {
  const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) };
  return (await answered(await fetch('/v1/control', options))).json();
}
