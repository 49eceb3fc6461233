// What does the page know of the engine? One state for all views, fed by the one WebSocket.

import { untrack } from 'svelte';
import { ask, control, tables, type Rig, type Row, type Status, type Table } from './api';
import type { Frame } from './frame';
import { Link, type Shown } from './link';

/** Rows of a list that are kept. */
const LISTED_MAX = 2000;
/** How far back lists begin, in hours. */
const LISTED_H = 12;

export interface Alert {
  id: string;
  time_ns: number;
  session: string;
  step: string;
  stream: string;
  key: string;
  state: 'firing' | 'cleared' | 'withheld' | 'acknowledged';
  severity: string;
  message: string;
  reason: string | null;
  /** Since when it fires; what tells its rows from those of another time. */
  since_ns: number;
}

export interface Mark {
  time_ns: number;
  event: string;
  side: string;
  label: string | null;
  source: string | null;
}

export type SensorState = 'fine' | 'uneven' | 'silent' | 'gone' | 'unseen';

interface Listener {
  begin(): void;
  rows(rows: Row[]): void;
}

class Engine {
  isOpen = $state(false);
  /** Set once a connection was there, so that a break can be told from a start. */
  wasOpen = $state(false);
  status = $state.raw<Status | undefined>();
  rig = $state.raw<Rig | undefined>();
  tables = $state.raw<Table[]>([]);
  session = $state.raw<{ subject: string | null; task: string | null; time_ns: number } | undefined>();
  alerts = $state.raw<Alert[]>([]);
  marks = $state.raw<Mark[]>([]);
  dropped = $state(0);
  framesPerSecond = $state(0);
  problems = $state.raw<Record<string, string>>({});
  /** Why the rig is not known, when it isn't. */
  rigProblem = $state<string | undefined>();

  private frames = 0;
  private readonly drawers = new Set<(frame: Frame) => void>();
  private readonly listeners = new Map<string, Listener>();
  private readonly link: Link;

  constructor() {
    this.link = new Link({
      frame: (frame) => {
        this.dropped = frame.dropped;
        this.frames++;
        this.drawers.forEach((draw) => draw(frame));
      },
      status: (status) => this.takeStatus(status),
      rows: (id, rows) => this.listeners.get(id)?.rows(rows),
      problem: (of, detail) => (this.problems = { ...this.problems, [of]: detail }),
      open: (isOpen) => {
        this.isOpen = isOpen;
        if (!isOpen) return;
        this.wasOpen = true;
        this.problems = {};
        void this.learn();
        // Live queries begin anew.
        this.listeners.forEach(({ begin }) => begin());
      },
    });
    this.listen();
    setInterval(() => {
      this.framesPerSecond = this.frames;
      this.frames = 0;
    }, 1000);
  }

  /** Reads the rig and the tables, which change when the pipeline does. */
  async learn(): Promise<void> {
    const [listed, replied] = await Promise.allSettled([tables(), control({ request: 'rig' })]);
    if (listed.status === 'fulfilled') this.tables = listed.value;
    if (replied.status === 'fulfilled') this.rig = replied.value.rig;
    this.rigProblem = replied.status === 'rejected' ? String(replied.reason?.message ?? replied.reason) : undefined;
  }

  /** Draws channels; what comes of them goes to `draw`, until the answer is called. */
  show(bucketNs: number, channels: Shown[], draw: (frame: Frame) => void): () => void {
    this.drawers.clear();
    this.drawers.add(draw);
    this.link.show(bucketNs, channels);
    return () => this.drawers.delete(draw);
  }

  /** Shows nothing, so that nothing is sent. */
  hide(): void {
    this.drawers.clear();
    this.link.show(1e6, []);
  }

  /** Follows a live query until the answer is called; `begin` empties what was listed, here and whenever the connection is made anew. */
  follow(id: string, sql: string, begin: () => void, rows: (rows: Row[]) => void): () => void {
    untrack(begin);
    this.listeners.set(id, { begin, rows });
    this.link.follow(id, sql);
    return () => {
      this.listeners.delete(id);
      this.link.follow(id, undefined);
    };
  }

  private takeStatus(status: Status): void {
    const before = this.status;
    this.status = status;
    if (before && before.session !== status.session) void this.learnSession(status.session);
    if (!before) void this.learnSession(status.session);
    const known = (of: Status) => of.sensors.map((sensor) => sensor.name).join() + of.steps.map((step) => step.stream).join();
    if (before && known(before) !== known(status)) void this.learn();
  }

  private async learnSession(session: string): Promise<void> {
    const rows = await ask(
      `SELECT subject, task, time_ns FROM sessions WHERE session = '${session.replaceAll("'", "''")}' AND state = 'started' LIMIT 1`,
    ).catch(() => []);
    if (this.status?.session !== session) return;
    this.session = rows[0] as unknown as typeof this.session;
    // The answer and the row come by two ways.
    if (!this.session) setTimeout(() => this.status?.session === session && !this.session && void this.learnSession(session), 1000);
  }

  private listen(): void {
    const since = new Date(Date.now() - LISTED_H * 3600e3).toISOString();
    const alerts = 'SELECT time_ns, session, id, step, stream, "key", state, severity, message, reason, since_ns FROM alerts';
    this.follow('alerts', `SUBSCRIBE FROM '${since}' ${alerts}`, () => (this.alerts = []), (rows) => {
      this.alerts = newest(this.alerts, rows as unknown as Alert[]);
    });
    const marks = 'SELECT time_ns, event, side, label, source FROM events';
    this.follow('marks', `SUBSCRIBE FROM '${since}' ${marks}`, () => (this.marks = []), (rows) => {
      this.marks = newest(this.marks, rows as unknown as Mark[]);
    });
  }
}

/** The newest of both, newest first. */
function newest<T extends { time_ns: number }>(known: T[], more: T[]): T[] {
  return [...known, ...more].sort((a, b) => b.time_ns - a.time_ns).slice(0, LISTED_MAX);
}

export const engine = new Engine();

/** What is to be said of a sensor: `gone` when its publisher went, `silent` when nothing comes, `uneven` when its rate is off. */
export function stateOf(sensor: Status['sensors'][number]): SensorState {
  if (sensor.rows === 0 && !sensor.present) return 'unseen';
  if (!sensor.present) return 'gone';
  if (sensor.idle) return 'silent';
  const [is, due] = [sensor.rate_hz, sensor.declared_rate_hz];
  return is !== null && due !== null && Math.abs(is - due) > 0.05 * due ? 'uneven' : 'fine';
}

/** Alerts that fire now: the newest row of each, where that doesn't say it is over; and who has seen it. */
export function firing(alerts: Alert[]): { alert: Alert; acknowledged: Alert | undefined }[] {
  const told = new Set<string>();
  const found: { alert: Alert; acknowledged: Alert | undefined }[] = [];
  for (const alert of alerts) {
    if (alert.state === 'withheld' || alert.state === 'acknowledged') continue;
    const which = JSON.stringify([alert.session, alert.step, alert.stream, alert.key]);
    if (told.has(which)) continue;
    told.add(which);
    if (alert.state === 'firing') found.push({ alert, acknowledged: acknowledgement(alerts, alert) });
  }
  return found;
}

/** The row that says who has seen an alert. */
export function acknowledgement(alerts: Alert[], of: Alert): Alert | undefined {
  const is = (row: Alert) => row.step === of.step && row.stream === of.stream && row.key === of.key && row.since_ns === of.since_ns;
  return alerts.find((row) => row.state === 'acknowledged' && row.session === of.session && is(row));
}
