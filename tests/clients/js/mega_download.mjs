// Download what a MEGA link points at with megajs, which checks the file as it comes; print its name and size as JSON.
//
// node mega_download.mjs URL GATEWAY OUT

import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { API, File } from "megajs";

const [url, gateway, out] = process.argv.slice(2);
const file = File.fromURL(url);
file.api = new API(false, { gateway: `${gateway}/` });
await file.loadAttributes();
await pipeline(file.download({}), createWriteStream(out));
console.log(JSON.stringify({ name: file.name, size: file.size }));
