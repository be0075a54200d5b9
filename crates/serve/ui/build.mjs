// Bundles the sources into ../assets, which the server embeds. The same sources and lock file give the same bytes.
//
//   node build.mjs            writes ../assets
//   node build.mjs OUT_DIR    writes somewhere else, to compare

import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../assets");

await mkdir(out, { recursive: true });
const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.ts", "style": "src/style/app.css", frame: "src/style/frame.css" },
    outdir: out,
    bundle: true,
    minify: true,
    charset: "utf8",
    format: "iife",
    target: ["chrome123", "firefox120", "safari17.5"],
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
});
await copyFile(join(here, "src/index.html"), join(out, "index.html"));
for (const [path, { bytes }] of Object.entries(metafile.outputs)) console.log(`${path} ${bytes} bytes`);
