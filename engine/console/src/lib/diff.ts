// What differs between two texts, line by line?

export interface Line {
  /** `same` lines are left out but for those beside a change. */
  kind: 'same' | 'gone' | 'new';
  text: string;
}

/** Lines around a change that are kept. */
const AROUND = 2;
/** Between what both begin and end with, texts of more lines are compared whole. */
const LINES_MAX = 1000;

/** The shortest list of lines that go and come, with what stands around them. */
export function diff(before: string, after: string): Line[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const middle = between(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const same = (text: string): Line => ({ kind: 'same', text });
  const lines = [...a.slice(0, head).map(same), ...middle, ...a.slice(a.length - tail).map(same)];
  const changed = lines.flatMap(({ kind }, at) => (kind === 'same' ? [] : [at]));
  return lines.filter((_, at) => changed.some((change) => Math.abs(change - at) <= AROUND));
}

function between(a: string[], b: string[]): Line[] {
  const gone = (text: string): Line => ({ kind: 'gone', text });
  const fresh = (text: string): Line => ({ kind: 'new', text });
  if (a.length > LINES_MAX || b.length > LINES_MAX) return [...a.map(gone), ...b.map(fresh)];
  // Lengths of the longest common subsequences of what is left of both.
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: 'same', text: a[i++]! });
      j++;
    } else if (j === b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!)) {
      lines.push(gone(a[i++]!));
    } else {
      lines.push(fresh(b[j++]!));
    }
  }
  return lines;
}
