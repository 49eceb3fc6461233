// How is a binary frame of `/v1/console` read? The layout stands in `engine/serve/src/http/console/mod.rs`.

/** The least and greatest values of one channel, bucket by bucket; NaN where the rows of a bucket held nulls alone. */
export interface Buckets {
  id: number;
  /** Bucket numbers: a bucket's time is its number times `Frame.bucketNs`. */
  at: Float64Array;
  low: Float32Array;
  high: Float32Array;
}

export interface Frame {
  /** Of the `show` that asked for it. */
  generation: number;
  sequence: number;
  bucketNs: number;
  /** Values that were not sent so far, since they came faster than this page read. */
  dropped: number;
  series: Buckets[];
}

const MAGIC = 0x31465250; // "PRF1"
const HEAD = 32;
const SERIES_HEAD = 16;

/** Reads a frame; throws when it is none. */
export function decode(bytes: ArrayBuffer): Frame {
  const view = new DataView(bytes);
  if (view.byteLength < HEAD || view.getUint32(0, true) !== MAGIC) throw new Error('not a frame of this version');
  const count = view.getUint32(12, true);
  const series: Buckets[] = [];
  let offset = HEAD;
  for (let each = 0; each < count; each++) {
    const id = view.getUint32(offset, true);
    const n = view.getUint32(offset + 4, true);
    const first = Number(view.getBigInt64(offset + 8, true));
    offset += SERIES_HEAD;
    const at = new Float64Array(n);
    const low = new Float32Array(n);
    const high = new Float32Array(n);
    for (let k = 0; k < n; k++) {
      at[k] = first + view.getInt32(offset + 4 * k, true);
      low[k] = view.getFloat32(offset + 4 * (n + k), true);
      high[k] = view.getFloat32(offset + 4 * (2 * n + k), true);
    }
    offset += 12 * n;
    series.push({ id, at, low, high });
  }
  if (offset !== view.byteLength) throw new Error(`a frame of ${view.byteLength} bytes ends at ${offset}`);
  return {
    generation: view.getUint32(4, true),
    sequence: view.getUint32(8, true),
    bucketNs: Number(view.getBigInt64(16, true)),
    dropped: Number(view.getBigUint64(24, true)),
    series,
  };
}
