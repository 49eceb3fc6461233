// How much does the page draw, hold and cost? `.ci/console-figures` starts the engine.
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { Page, pause, Subject, until } from './browser/lab.mjs';

const MINUTE_MS = 60_000;
const { PROPRIO_METRICS: metrics, PROPRIO_ENGINE: engine, PROPRIO_MINUTES: minutes } = process.env;
const IMUS = ['pelvis', 'trunk', 'thigh_left', 'thigh_right', 'shank_left', 'shank_right', 'foot_left', 'foot_right'];
const MUSCLES = ['gluteus_medius', 'tra_io', 'erector_spinae', 'gastrocnemius_medialis', 'multifidus', 'rectus_femoris', 'biceps_femoris', 'tibialis_anterior'];
const LANES = [
  ...IMUS.map((sensor) => `imu/${sensor}/gyro_rad_per_s`),
  ...MUSCLES.flatMap((muscle) => ['left', 'right'].map((side) => `emg/muscles/${muscle}_${side}_v`)),
];

/** The histogram of the time from sensor to alert: upper bounds in seconds, and how many alerts were no slower. */
async function alerts() {
  const text = await (await fetch(metrics)).text();
  const buckets = [...text.matchAll(/^proprio_sensor_to_alert_seconds_bucket\{.*le="([^"]+)"\} (\d+)$/gm)];
  return buckets.map(([, bound, count]) => ({ bound: bound === '+Inf' ? Infinity : Number(bound), count: Number(count) }));
}

/** Quantiles of what came between two readings, each as the bounds of the bucket that it lies in, in milliseconds. */
function quantiles(before, after) {
  const grown = after.map(({ bound, count }, at) => ({ bound, count: count - (before[at]?.count ?? 0) }));
  const total = grown.at(-1)?.count ?? 0;
  const of = (share) => {
    const at = grown.findIndex(({ count }) => count >= share * total);
    return `${1e3 * (grown[at - 1]?.bound ?? 0)}…${1e3 * grown[at].bound}`;
  };
  return total === 0 ? 'no alerts' : `${total} alerts, p50 ${of(0.5)} ms, p90 ${of(0.9)} ms, p99 ${of(0.99)} ms`;
}

const residentMiB = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${engine}/status`, 'utf8'))[1]) / 1024;
const tell = (text) => console.log(`figures: ${text} (load ${loadavg()[0].toFixed(1)})`);

new Subject('S-17', '--layout', 'full-lab', '--calibration', 'good', '--impair', 'pelvic-drop=8deg:left');
let lab;
try {
  await until('the subject walks', async () => (await alerts()).at(-1)?.count > 0);
  let before = await alerts();
  await pause(MINUTE_MS);
  tell(`without the page: ${quantiles(before, await alerts())}; engine ${residentMiB().toFixed(0)} MiB`);

  lab = await Page.open();
  await lab.page.evaluate((lanes) => localStorage.setItem('live.lanes.lab-1', JSON.stringify(lanes)), LANES);
  await lab.page.reload();
  await lab.page.locator('canvas').first().waitFor();
  const devtools = await lab.page.context().newCDPSession(lab.page);
  await devtools.send('Performance.enable');
  // What is painted, seen by a callback of each frame.
  await lab.page.evaluate(() => {
    window.painted = 0;
    requestAnimationFrame(function count() {
      window.painted++;
      requestAnimationFrame(count);
    });
  });
  for (let minute = 1; minute <= Number(minutes); minute++) {
    before = await alerts();
    const painted = await lab.page.evaluate(() => window.painted);
    await pause(MINUTE_MS);
    const perSecond = ((await lab.page.evaluate(() => window.painted)) - painted) / 60;
    const frames = await lab.page.getByText(/^\d+ frames\/s$/).textContent();
    const left = await lab.page.getByText(/values not drawn$/).textContent({ timeout: 100 }).catch(() => '0 values not drawn');
    await devtools.send('HeapProfiler.collectGarbage');
    const { metrics: measured } = await devtools.send('Performance.getMetrics');
    const heap = measured.find(({ name }) => name === 'JSHeapUsedSize').value / 2 ** 20;
    tell(`minute ${minute}: ${perSecond.toFixed(1)} painted a second, ${frames} received, ${left}, heap ${heap.toFixed(1)} MiB, engine ${residentMiB().toFixed(0)} MiB; ${quantiles(before, await alerts())}`);
  }
} finally {
  await lab?.close();
  await Promise.all(Subject.all.map((subject) => subject.leave()));
}
