// Does the page read what the engine writes? `frame.json` is what the engine's own test writes, byte by byte.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { createServer } from 'vite';

let vite;
before(async () => (vite = await createServer({ server: { middlewareMode: true, ws: false }, appType: 'custom', logLevel: 'error' })));
after(() => vite.close());

const example = JSON.parse(readFileSync(new URL('frame.json', import.meta.url), 'utf8'));
const bytes = () => Uint8Array.from(example.hex.match(/../g), (digits) => parseInt(digits, 16)).buffer;

test('a frame is read as it was written', async () => {
  const { decode } = await vite.ssrLoadModule('/src/lib/frame.ts');
  const frame = decode(bytes());
  const { generation, sequence, bucketNs, dropped } = frame;
  assert.deepEqual([generation, sequence, bucketNs, dropped], [example.generation, example.sequence, example.bucketNs, example.dropped]);
  const value = (number) => (Number.isNaN(number) ? null : number);
  const read = frame.series.map(({ id, at, low, high }) => ({ id, buckets: [...at].map((bucket, k) => [bucket, value(low[k]), value(high[k])]) }));
  assert.deepEqual(read, example.series.map(({ id, buckets }) => ({ id, buckets })));
});

test('what is no frame is refused', async () => {
  const { decode } = await vite.ssrLoadModule('/src/lib/frame.ts');
  assert.throws(() => decode(new ArrayBuffer(8)));
  assert.throws(() => decode(bytes().slice(0, -4)));
  const other = bytes();
  new Uint8Array(other)[0] = 0;
  assert.throws(() => decode(other));
});

test('a trace widens its newest bucket, keeps order, and begins anew when time goes back', async () => {
  const { Trace } = await vite.ssrLoadModule('/src/lib/trace.ts');
  const trace = new Trace();
  const push = (...buckets) =>
    trace.push({ at: Float64Array.from(buckets, (b) => b[0]), low: Float32Array.from(buckets, (b) => b[1]), high: Float32Array.from(buckets, (b) => b[2]) });
  push([5, 1, 2], [6, NaN, NaN]);
  push([6, 3, 4], [8, 0, 0]);
  push([8, -1, 1]);
  const kept = () => Array.from(trace.at.subarray(trace.start, trace.end), (at, k) => [at, trace.low[trace.start + k], trace.high[trace.start + k]]);
  assert.deepEqual(kept(), [[5, 1, 2], [6, 3, 4], [8, -1, 1]]);
  assert.equal(trace.at[trace.from(7)], 8);
  push([2, 9, 9]);
  assert.deepEqual(kept(), [[2, 9, 9]]);
  push(...Array.from({ length: 40000 }, (_, k) => [10 + k, k, k]));
  assert.equal(trace.newest, 40009);
  assert.equal(trace.newest - trace.oldest, trace.end - trace.start - 1);
});

test('completions are columns of the tables that the text names, and tables after FROM', async () => {
  const { completions } = await vite.ssrLoadModule('/src/lib/complete.ts');
  const column = (name) => ({ name, type: 'Float64', unit: 'V', segment: null, side: null, sensor: null });
  const tables = [{ name: 'emg', columns: [column('vastus_v')] }, { name: 'vault', columns: [] }];
  const texts = (sql, caret = sql.length) => completions(sql, caret, tables, ['variance']).choices.map(({ text }) => text);
  assert.deepEqual(texts('SELECT va FROM emg', 9), ['vastus_v', 'vault', 'variance(']);
  assert.deepEqual(texts('SELECT * FROM v'), ['vault']);
  assert.deepEqual(texts('SELECT '), []);
});

test('a diff is the shortest, with what stands around it', async () => {
  const { diff } = await vite.ssrLoadModule('/src/lib/diff.ts');
  const told = (a, b) => diff(a, b).map(({ kind, text }) => `${{ same: ' ', gone: '-', new: '+' }[kind]}${text}`);
  assert.deepEqual(told('a\nb\nc\nd\ne\nf', 'a\nb\nc\nx\ne\nf'), [' b', ' c', '-d', '+x', ' e', ' f']);
  assert.deepEqual(told('a\nb\nc', 'c\na\nb\nc'), ['+c', ' a', ' b']);
  assert.deepEqual(told('a\nb', 'a\nb'), []);
});
