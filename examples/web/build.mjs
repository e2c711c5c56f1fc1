// Puts the page into dist/, or serves it:
//
//     node build.mjs [--serve]
//
// TUS_ENDPOINT is where it uploads to. Defaults to what `tus serve` listens on.

import { copyFile } from "node:fs/promises";
import * as esbuild from "esbuild";

const endpoint = process.env.TUS_ENDPOINT ?? "http://127.0.0.1:1080/files";

const page = await esbuild.context({
  entryPoints: ["page.js", "page.css"],
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  define: { TUS_ENDPOINT: JSON.stringify(endpoint) },
});
await page.rebuild();
await copyFile("index.html", "dist/index.html");

if (process.argv.includes("--serve")) {
  const { port } = await page.serve({ servedir: "dist", host: "127.0.0.1", port: 8000 });
  console.log(`http://127.0.0.1:${port} uploads to ${endpoint}`);
} else {
  await page.dispose();
}
