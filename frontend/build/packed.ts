// Compressed copies beside the files of a build, so that the server compresses nothing itself.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Plugin } from "vite";

const TEXT = /\.(js|css|html|svg|jsonl)$/;
/** Smaller files are sent as they are; src/speculatoviz/server/page_files.py has the same limit. */
const LEAST_BYTES = 1024;

const br = promisify(brotliCompress);
const gz = promisify(gzip);

/** A file by two compressions: Brotli at its strongest, and gzip for readers without it. */
export async function packed(content: Buffer): Promise<{ br: Buffer; gz: Buffer }> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  const [brotli, gzipped] = await Promise.all([br(content, { params }), gz(content, { level: 9 })]);
  return { br: brotli, gz: gzipped };
}

async function pack(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (!TEXT.test(name)) continue;
    const content = await readFile(join(folder, name));
    if (content.length < LEAST_BYTES) continue;
    const copies = await packed(content);
    for (const [ending, copy] of Object.entries(copies))
      await writeFile(join(folder, `${name}.${ending}`), copy);
  }
}

export const packedFiles = (): Plugin => {
  let folder = "";
  return {
    name: "packed-files",
    apply: "build",
    enforce: "post",
    configResolved: ({ root, build }) => {
      folder = join(root, build.outDir);
    },
    closeBundle: () => pack(folder),
  };
};
