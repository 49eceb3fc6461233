// Where on the body does a sensor or a muscle sit? Shapes of a figure seen from the front, its right side at our left.

export interface Shape {
  segment: string;
  side: 'left' | 'right' | '';
  /** Of a rounded polygon, drawn as a thick line from one joint to the next. */
  from: [number, number];
  to: [number, number];
  width: number;
}

const pair = (segment: string, from: [number, number], to: [number, number], width: number): Shape[] => [
  { segment, side: 'right', from, to, width },
  { segment, side: 'left', from: [200 - from[0], from[1]], to: [200 - to[0], to[1]], width },
];

export const SHAPES: Shape[] = [
  { segment: 'head', side: '', from: [100, 26], to: [100, 34], width: 30 },
  { segment: 'thorax', side: '', from: [100, 76], to: [100, 118], width: 54 },
  { segment: 'pelvis', side: '', from: [88, 162], to: [112, 162], width: 34 },
  ...pair('upper_arm', [61, 76], [52, 122], 15),
  ...pair('forearm', [50, 136], [42, 178], 12),
  ...pair('hand', [40, 192], [38, 202], 11),
  ...pair('thigh', [84, 196], [82, 252], 24),
  ...pair('shank', [81, 278], [80, 336], 18),
  ...pair('foot', [78, 360], [70, 366], 13),
];

const MUSCLES: [RegExp, [number, number]][] = [
  [/gluteus_med/, [66, 160]],
  [/gluteus_max/, [74, 176]],
  [/tensor|tfl/, [68, 172]],
  [/tra|transvers|oblique|internal_o|external_o/, [80, 128]],
  [/rectus_abd/, [92, 116]],
  [/erector|longissimus|multifid|spin/, [92, 140]],
  [/rectus_fem/, [84, 216]],
  [/vastus_med|vmo/, [90, 244]],
  [/vastus|quadriceps/, [73, 236]],
  [/biceps_fem|hamstring/, [76, 228]],
  [/semi|adduct|gracilis/, [92, 220]],
  [/gastrocnemius_med/, [88, 292]],
  [/gastrocnemius/, [72, 292]],
  [/soleus/, [86, 318]],
  [/tibialis/, [74, 306]],
  [/peron|fibul/, [70, 316]],
  [/trapez/, [82, 58]],
  [/delt/, [60, 74]],
  [/pector/, [84, 80]],
  [/latissimus/, [72, 104]],
  [/biceps/, [56, 104]],
  [/triceps/, [52, 108]],
];

/** Where a muscle's electrode is drawn; none for a muscle that isn't known. */
export function muscleAt(muscle: string): [number, number] | undefined {
  const place = MUSCLES.find(([name]) => name.test(muscle))?.[1];
  if (!place) return undefined;
  return /left|_l$/.test(muscle) ? [200 - place[0], place[1]] : place;
}
