// Are the signals drawn as they come, and do they stand still when they are told to?
import { passed, pause, sql, until } from './lab.mjs';

/** A picture that is the same for so long, looked at so often, stands still; in milliseconds. */
const STILL_MS = 1500;
const LOOK_MS = 300;

export async function live(lab) {
  const { page } = lab;
  /** What each canvas shows: how many pixels are drawn on, and their picture. */
  const drawn = () =>
    page.evaluate(() =>
      [...document.querySelectorAll('canvas')].map((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let pixels = 0;
        for (let at = 3; at < data.length; at += 4) pixels += data[at] > 128;
        return { pixels, picture: canvas.toDataURL() };
      }),
    );
  const inked = (canvases) => canvases.length >= 3 && canvases.every(({ pixels }) => pixels > 2000) && canvases;
  const before = await until('strip charts with traces', async () => inked(await drawn()));
  await until('the charts move', async () => (await drawn())[0].picture !== before[0].picture);
  passed(`live: ${before.length} groups of strips are drawn and move`);
  const frames = await until('frames are counted', async () => {
    const text = await page.getByText(/^\d+ frames\/s$/).textContent();
    return Number.parseInt(text, 10) > 0 && text;
  });
  passed(`live: ${frames}`);
  await page.getByText('stance', { exact: true }).waitFor();
  passed('live: stance of either foot is shown');

  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Back by half a window' }).click();
  let [last, since] = ['', Date.now()];
  const still = await until('a paused picture with traces stands still', async () => {
    await pause(LOOK_MS);
    const [{ pixels, picture }] = await drawn();
    if (picture !== last) [last, since] = [picture, Date.now()];
    return pixels > 2000 && Date.now() - since > STILL_MS && picture;
  });
  await page.getByRole('button', { name: 'Resume' }).click();
  await until('it goes on', async () => (await drawn())[0].picture !== still);
  passed('live: pauses, scrolls back and goes on');

  await page.getByRole('textbox', { name: 'What to mark' }).fill('left turn');
  await page.getByRole('button', { name: 'Mark', exact: true }).click();
  await until('the mark is a row', async () => (await sql("SELECT label FROM events WHERE label = 'left turn'")).length === 1);
  passed('live: a mark is recorded');
  await lab.look('live');
}
