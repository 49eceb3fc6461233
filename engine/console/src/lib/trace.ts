// What is kept of a channel to be drawn: its newest buckets, in the order of time.

import type { Buckets } from './frame';

/** Buckets that are kept: some windows' worth. */
const CAPACITY = 8192;

export class Trace {
  /** Bucket numbers, ascending; `start..end` are in use. */
  at = new Float64Array(2 * CAPACITY);
  low = new Float32Array(2 * CAPACITY);
  high = new Float32Array(2 * CAPACITY);
  start = 0;
  end = 0;

  get newest(): number | undefined {
    return this.end > this.start ? this.at[this.end - 1] : undefined;
  }

  get oldest(): number | undefined {
    return this.end > this.start ? this.at[this.start] : undefined;
  }

  clear(): void {
    this.start = this.end = 0;
  }

  /** Takes what has come. A bucket that is there already is widened; one in the past begins the trace anew, as a new session may. */
  push({ at, low, high }: Omit<Buckets, 'id'>): void {
    for (let k = 0; k < at.length; k++) {
      const [bucket, least, greatest] = [at[k]!, low[k]!, high[k]!];
      const last = this.end - 1;
      const newest = this.newest;
      if (newest !== undefined && bucket === newest) {
        if (Number.isNaN(this.low[last]!)) {
          this.low[last] = least;
          this.high[last] = greatest;
        } else if (!Number.isNaN(least)) {
          this.low[last] = Math.min(this.low[last]!, least);
          this.high[last] = Math.max(this.high[last]!, greatest);
        }
        continue;
      }
      if (newest !== undefined && bucket < newest) this.clear();
      if (this.end === this.at.length) this.compact();
      this.at[this.end] = bucket;
      this.low[this.end] = least;
      this.high[this.end] = greatest;
      this.end++;
      if (this.end - this.start > CAPACITY) this.start++;
    }
  }

  /** The first place whose bucket is at or after one. */
  from(bucket: number): number {
    let [left, right] = [this.start, this.end];
    while (left < right) {
      const middle = (left + right) >> 1;
      if (this.at[middle]! < bucket) left = middle + 1;
      else right = middle;
    }
    return left;
  }

  private compact(): void {
    for (const values of [this.at, this.low, this.high]) values.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
  }
}
