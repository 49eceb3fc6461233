// How is a group of lanes drawn? On one canvas, each trace one path through the least and greatest value of each pixel's bucket.

import type { Trace } from './trace';

export interface Stroke {
  trace: Trace;
  /** What stands before the live trace, from the tables. */
  history: Trace;
  colour: string;
}

export interface Strip {
  strokes: Stroke[];
  /** Scale that the lane had, so that it doesn't jump about. */
  scale: { low: number; high: number };
  /** What its numbers are shown times. */
  factor: number;
}

export interface Look {
  grid: string;
  faint: string;
  text: string;
  mark: string;
  font: string;
}

export interface Event {
  at: number;
  label: string;
}

/** Room for a lane's numbers at its right, in pixels. */
export const GUTTER = 56;

/** Draws lanes of equal height between two instants, in nanoseconds; those of a picture that stands still fill their scale at once. */
export function draw(
  canvas: HTMLCanvasElement,
  strips: Strip[],
  bucketNs: number,
  from: number,
  to: number,
  laneHeight: number,
  events: Event[],
  look: Look,
  isStill: boolean,
): void {
  const context = fitted(canvas);
  if (!context) return;
  const width = canvas.clientWidth - GUTTER;
  const height = laneHeight * strips.length;
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  context.lineWidth = 1;
  context.strokeStyle = look.grid;
  context.beginPath();
  for (const second of ticks(from, to, width)) {
    const x = Math.round(((second - from) / (to - from)) * width) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, height);
  }
  for (let lane = 1; lane <= strips.length; lane++) {
    context.moveTo(0, lane * laneHeight - 0.5);
    context.lineTo(width + GUTTER, lane * laneHeight - 0.5);
  }
  context.stroke();
  strips.forEach((strip, lane) => drawLane(context, strip, bucketNs, from, to, width, lane * laneHeight, laneHeight, look, isStill));
  drawEvents(context, events, from, to, width, height, look);
}

/** Instants for a grid: whole 1, 2, 5, 10 … seconds, some 90 pixels apart. */
export function ticks(from: number, to: number, width: number): number[] {
  const least = ((to - from) / Math.max(1, width)) * 90;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].map((s) => s * 1e9).find((s) => s >= least) ?? 600e9;
  const found: number[] = [];
  for (let at = Math.ceil(from / step) * step; at < to && found.length < 64; at += step) found.push(at);
  return found;
}

/** The canvas' context, its pixels the screen's. */
function fitted(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (width === 0 || height === 0) return null;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

function drawLane(
  context: CanvasRenderingContext2D,
  strip: Strip,
  bucketNs: number,
  from: number,
  to: number,
  width: number,
  top: number,
  height: number,
  look: Look,
  isStill: boolean,
): void {
  const [first, last] = [Math.floor(from / bucketNs), Math.ceil(to / bucketNs)];
  const seen = range(strip, first, last);
  if (seen) settle(strip.scale, seen, isStill ? 1 : 0.02);
  const { low, high } = strip.scale;
  context.font = look.font;
  context.textBaseline = 'middle';
  if (!seen && high <= low) {
    context.fillStyle = look.faint;
    context.fillText('no data', width - 52, top + height / 2);
    return;
  }
  const pad = Math.min(6, height / 8);
  const toY = (value: number) => top + height - pad - ((value - low) / (high - low)) * (height - 2 * pad);
  if (low < 0 && high > 0) {
    context.strokeStyle = look.grid;
    context.beginPath();
    context.moveTo(0, Math.round(toY(0)) + 0.5);
    context.lineTo(width, Math.round(toY(0)) + 0.5);
    context.stroke();
  }
  context.save();
  context.beginPath();
  context.rect(0, top, width, height);
  context.clip();
  for (const { trace, history, colour } of strip.strokes) {
    context.strokeStyle = colour;
    context.beginPath();
    const toX = (bucket: number) => ((bucket * bucketNs - from) / (to - from)) * width;
    path(context, history, first, Math.min(last, trace.oldest ?? Infinity), toX, toY);
    path(context, trace, first, last, toX, toY);
    context.stroke();
  }
  context.restore();
  context.fillStyle = look.text;
  context.fillText(short(high * strip.factor), width + 6, top + pad + 5);
  context.fillText(short(low * strip.factor), width + 6, top + height - pad - 5);
}

function path(
  context: CanvasRenderingContext2D,
  trace: Trace,
  first: number,
  last: number,
  toX: (bucket: number) => number,
  toY: (value: number) => number,
): void {
  let isDown = false;
  let before = -Infinity;
  // A gap is five times as long as what usually lies between two buckets.
  const step = usualStep(trace);
  for (let k = Math.max(trace.start, trace.from(first) - 1); k < trace.end; k++) {
    const bucket = trace.at[k]!;
    const [low, high] = [trace.low[k]!, trace.high[k]!];
    if (Number.isNaN(low) || bucket - before > 5 * step) isDown = false;
    before = bucket;
    if (Number.isNaN(low)) continue;
    const [x, y] = [toX(bucket), toY(low)];
    if (isDown) context.lineTo(x, y);
    else context.moveTo(x, y);
    if (high !== low) context.lineTo(x, toY(high));
    else if (!isDown) context.lineTo(x + 0.5, y);
    isDown = true;
    if (bucket > last) return;
  }
}

/** The middle one of the last steps from bucket to bucket. */
function usualStep({ at, start, end }: Trace): number {
  const steps: number[] = [];
  for (let k = Math.max(start + 1, end - 33); k < end; k++) steps.push(at[k]! - at[k - 1]!);
  return steps.sort((a, b) => a - b)[steps.length >> 1] ?? Infinity;
}

function range(strip: Strip, first: number, last: number): { low: number; high: number } | undefined {
  let [low, high] = [Infinity, -Infinity];
  for (const { trace, history } of strip.strokes) {
    for (const part of [history, trace]) {
      for (let k = part.from(first); k < part.end && part.at[k]! <= last; k++) {
        if (part.low[k]! < low) low = part.low[k]!;
        if (part.high[k]! > high) high = part.high[k]!;
      }
    }
  }
  return low <= high ? { low, high } : undefined;
}

/** Grows with what is seen at once, and shrinks slowly, so that a lane can be read. */
function settle(scale: { low: number; high: number }, seen: { low: number; high: number }, pace: number): void {
  const span = Math.max(seen.high - seen.low, 1e-12, Math.abs(seen.high) * 1e-6);
  const [low, high] = [seen.low - 0.05 * span, seen.high + 0.05 * span];
  const isNew = scale.high <= scale.low;
  scale.low = isNew || low < scale.low ? low : scale.low + pace * (low - scale.low);
  scale.high = isNew || high > scale.high ? high : scale.high + pace * (high - scale.high);
}

function drawEvents(
  context: CanvasRenderingContext2D,
  events: Event[],
  from: number,
  to: number,
  width: number,
  height: number,
  look: Look,
): void {
  context.strokeStyle = context.fillStyle = look.mark;
  context.font = look.font;
  context.setLineDash([3, 3]);
  for (const { at, label } of events) {
    if (at < from || at > to) continue;
    const x = Math.round(((at - from) / (to - from)) * width) + 0.5;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
    context.fillText(label, x + 3, 8);
  }
  context.setLineDash([]);
}

/** A number in at most seven letters. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return value.toFixed(size < 0.1 ? 4 : size < 10 ? 2 : size < 100 ? 1 : 0);
}
