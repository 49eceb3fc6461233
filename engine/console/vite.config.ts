import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** Packs every file beside itself, so that the engine sends it packed without packing anything. */
function packed(): Plugin {
  let folder = '';
  return {
    name: 'packed',
    apply: 'build',
    configResolved: (config) => void (folder = config.build.outDir),
    closeBundle: () => {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile() && !path.endsWith('.gz')) writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

const engine = process.env.PROPRIO ?? 'http://127.0.0.1:7341';

export default defineConfig({
  plugins: [svelte(), packed()],
  // What is small stays a file: the page's policy takes no scripts out of addresses.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  // `npm run dev` beside a running engine.
  server: { proxy: { '/v1': { target: engine, ws: true, changeOrigin: true, headers: { origin: engine } } } },
});
