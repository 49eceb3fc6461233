// Which columns can be drawn, and how are they laid out: groups by sensor or step, in them lanes, in each the axes of one quantity?

import type { Rig, Table } from './api';

export interface Axis {
  column: string;
  /** `x`, `y`, `z`, `w`; empty for a quantity without axes. */
  name: string;
}

/** One strip: a quantity of a sensor or a step. */
export interface Lane {
  /** `<table>/<key>/<quantity>`: what a selection is remembered by. */
  id: string;
  title: string;
  /** As it is shown. */
  unit: string;
  /** What the table's values are shown times. */
  factor: number;
  axes: Axis[];
}

export interface Group {
  /** Stream: `imu/pelvis`, `angles`. */
  id: string;
  table: string;
  key: string | null;
  /** `sensor` or `step`. */
  origin: 'sensor' | 'step';
  /** Where it sits. */
  place: string;
  lanes: Lane[];
}

const BOOKKEEPING = new Set(['time', 'time_ns', 'device_time_ns', 'time_uncertainty_ns', 'sequence', 'since_ns', 'from_ns', 'end_ns']);
const UNDRAWN = new Set(['truth', 'notes', 'events', 'alerts', 'markers']);
const NUMBER = /^(U?Int\d+|Float\d+)$/;
/** A quantity's axis stands in its name: `gyro_x_rad_per_s`, `q_w`, `LASI_x_m`. */
const AXIS = /^(.+)_([wxyz])(?=_|$)(.*)$/;

/** Every group, sensors first. */
export function groups(rig: Rig | undefined, streams: string[], tables: Table[]): Group[] {
  const byName = new Map(tables.map((table) => [table.name, table]));
  const found: Group[] = [];
  for (const [name, sensor] of Object.entries(rig?.sensors ?? {})) {
    const table = byName.get(sensor.kind);
    if (!table || UNDRAWN.has(sensor.kind)) continue;
    // `emg` has a column per channel of any sensor.
    const own = sensor.channels ? new Set(Object.values(sensor.channels).map((muscle) => `${muscle}_v`)) : undefined;
    const place = [sensor.side, sensor.segment].filter(Boolean).join(' ');
    const lanes = lanesOf(table, name, own?.size ? own : undefined);
    found.push({ id: `${sensor.kind}/${name}`, table: table.name, key: name, origin: 'sensor', place, lanes });
  }
  for (const stream of new Set(streams)) {
    const [name = '', key = null] = stream.split('/');
    const table = byName.get(name);
    if (!table || UNDRAWN.has(name)) continue;
    const lanes = lanesOf(table, key);
    if (lanes.length > 0) found.push({ id: stream, table: name, key, origin: 'step', place: '', lanes });
  }
  return found;
}

function lanesOf(table: Table, key: string | null, only?: Set<string>): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const { name, type, unit } of table.columns) {
    if (BOOKKEEPING.has(name) || !NUMBER.test(type) || (only && !only.has(name))) continue;
    const [, before, axis, after] = AXIS.exec(name) ?? [];
    const quantity = before ? `${before}${after}` : name;
    const lane = lanes.get(quantity) ?? { id: `${table.name}/${key ?? ''}/${quantity}`, title: title(quantity, unit), ...shown(unit), axes: [] };
    lane.axes.push({ column: name, name: axis ?? '' });
    lanes.set(quantity, lane);
  }
  return [...lanes.values()];
}

/** EMG is read in millionths of a volt; `m/s^2` as it is printed. */
function shown(unit: string | null): { unit: string; factor: number } {
  if (unit === 'V') return { unit: 'µV', factor: 1e6 };
  return { unit: unit === '1' ? '' : (unit ?? '').replace('^2', '²').replace('*', '·'), factor: 1 };
}

/** `gluteus_medius_left_v` in V is “gluteus medius left”. */
function title(quantity: string, unit: string | null): string {
  const suffixes: Record<string, string> = {
    'rad/s': '_rad_per_s', 'm/s^2': '_m_per_s2', uT: '_ut', V: '_v', deg: '_deg', N: '_n', 'N*m': '_n_m', m: '_m', s: '_s', ms: '_ms', '%': '_percent', 'deg/s': '_deg_per_s', 'm/s': '_m_per_s',
  };
  const suffix = unit ? suffixes[unit] : undefined;
  const bare = suffix && quantity.endsWith(suffix) ? quantity.slice(0, -suffix.length) : quantity;
  return bare.replaceAll('_', ' ');
}

/** What is drawn of a rig that nobody has chosen for yet: its muscles, its plates' vertical force, its angles, one IMU's gyroscope. */
export function usual(all: Group[]): string[] {
  const chosen: string[] = [];
  const of = (table: string) => all.filter((group) => group.table === table);
  of('emg').slice(0, 1).forEach((group) => chosen.push(...group.lanes.slice(0, 8).map((lane) => lane.id)));
  of('force').slice(0, 2).forEach((group) => chosen.push(...group.lanes.slice(0, 1).map((lane) => lane.id)));
  const angles = all.find((group) => group.origin === 'step' && group.lanes.some((lane) => lane.id.includes('obliquity')));
  if (angles) chosen.push(...angles.lanes.slice(0, 4).map((lane) => lane.id));
  of('imu').slice(0, chosen.length > 0 ? 1 : 4).forEach((group) => chosen.push(...group.lanes.slice(0, 2).map((lane) => lane.id)));
  return chosen;
}
