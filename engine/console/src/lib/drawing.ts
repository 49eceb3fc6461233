// How do the chosen lanes come onto the screen? The traces of what is shown, fed by frames and by SQL for what was before.

import { ask, quoted, text, type Row } from './api';
import type { Group, Lane } from './channels';
import type { Frame } from './frame';
import type { Shown } from './link';
import type { Stroke, Strip } from './strip';
import { Trace } from './trace';

/** Lanes of one group that are drawn. */
export interface DrawnGroup {
  group: Group;
  lanes: Lane[];
  strips: Strip[];
}

export class Drawing {
  readonly groups: DrawnGroup[];
  readonly channels: Shown[] = [];
  private readonly strokes: Stroke[] = [];
  /** The channels of each stream. */
  private readonly streams: Shown[][];

  constructor(
    chosen: Group[],
    readonly bucketNs: number,
  ) {
    this.groups = chosen.map((group) => {
      const strips = group.lanes.map((lane) => {
        const strokes = lane.axes.map((axis, at) => {
          const stroke = { trace: new Trace(), history: new Trace(), colour: `--trace-${at % 4}` };
          this.channels.push({ id: this.channels.length, table: group.table, key: group.key, column: axis.column });
          this.strokes.push(stroke);
          return stroke;
        });
        return { strokes, scale: { low: 0, high: 0 }, factor: lane.factor };
      });
      return { group, lanes: group.lanes, strips };
    });
    const streams = new Map<string, Shown[]>();
    for (const channel of this.channels) {
      const stream = JSON.stringify([channel.table, channel.key]);
      streams.set(stream, [...(streams.get(stream) ?? []), channel]);
    }
    this.streams = [...streams.values()];
  }

  /** Takes what has come; gives the streams whose first values these are, so that what was before them can be read. */
  take(frame: Frame): Shown[][] {
    const begun = new Set<Shown[]>();
    for (const buckets of frame.series) {
      const trace = this.strokes[buckets.id]?.trace;
      if (trace && trace.newest === undefined) begun.add(this.streams.find((stream) => stream.some(({ id }) => id === buckets.id)) ?? []);
      trace?.push(buckets);
    }
    return [...begun];
  }

  /** Time of the newest value, in nanoseconds; none before the first. */
  newest(): number | undefined {
    const times = this.strokes.flatMap(({ trace }) => trace.newest ?? []);
    return times.length > 0 ? (Math.max(...times) + 1) * this.bucketNs : undefined;
  }

  /** Reads what was between two instants from the tables, of some streams, as far as the live traces don't hold it. */
  async remember(from: number, to: number, signal: AbortSignal, streams = this.streams): Promise<void> {
    await Promise.all(streams.map((channels) => this.rememberStream(channels, from, to, signal)));
  }

  private async rememberStream(channels: Shown[], from: number, until: number, signal: AbortSignal): Promise<void> {
    const { table, key } = channels[0]!;
    const bucket = Math.round(this.bucketNs);
    const live = channels.flatMap(({ id }) => this.strokes[id]!.trace.oldest ?? []);
    // The live trace's first bucket may lack rows.
    const to = Math.min(until, ...live.map((oldest) => (oldest + 1) * this.bucketNs));
    if (to <= from) return;
    const extremes = channels.map(({ column, id }) => `min(${quoted(column)}) AS low_${id}, max(${quoted(column)}) AS high_${id}`);
    const where = [`time_ns >= ${Math.floor(from)}`, `time_ns < ${Math.ceil(to)}`, ...(key === null ? [] : [`sensor = ${text(key)}`])];
    const rows = await ask(
      `SELECT time_ns / ${bucket} AS bucket, ${extremes.join(', ')} FROM ${quoted(table)} WHERE ${where.join(' AND ')} GROUP BY 1 ORDER BY 1`,
      signal,
    );
    for (const { id } of channels) {
      const history = this.strokes[id]!.history;
      history.clear();
      history.push({
        at: Float64Array.from(rows, (row) => Number(row.bucket)),
        low: Float32Array.from(rows, (row) => number(row, `low_${id}`)),
        high: Float32Array.from(rows, (row) => number(row, `high_${id}`)),
      });
    }
  }
}

function number(row: Row, name: string): number {
  const value = row[name];
  return typeof value === 'number' ? value : NaN;
}
