// Bundles the sources into ../assets, which the server embeds. The same sources and lock file give the same bytes.
//
//   node build.mjs            writes ../assets
//   node build.mjs OUT_DIR    writes somewhere else, to compare

import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../assets");

const shared = { absWorkingDir: here, bundle: true, minify: true, charset: "utf8" };

await mkdir(out, { recursive: true });
// The style of frames stands in the script, and in a file of its own for the server, whose policy names its hash.
const frame = await build({ ...shared, entryPoints: ["src/style/frame.css"], write: false });
const frameStyle = frame.outputFiles[0].text.trim();
await writeFile(join(out, "frame.css"), frameStyle);
const { metafile } = await build({
    ...shared,
    entryPoints: { app: "src/main.ts", style: "src/style/app.css" },
    outdir: out,
    define: { FRAME_STYLE: JSON.stringify(frameStyle) },
    format: "iife",
    target: ["chrome123", "firefox120", "safari17.5"],
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
});
await copyFile(join(here, "src/index.html"), join(out, "index.html"));
for (const [path, { bytes }] of Object.entries(metafile.outputs)) console.log(`${path} ${bytes} bytes`);
