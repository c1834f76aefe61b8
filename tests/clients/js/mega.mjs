// Log in at a MEGA with megajs and do what the JSON on the command line says; print what came of each step, as JSON.
//
// {"gateway": url, "email": …, "password": …, "code": "123456", "steps": [["upload", name, path], …]}
//
// Files are found by their names. A step that fails gives {"error": text}; a login that fails ends the process.

import { createWriteStream, readFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Storage } from "megajs";

const job = JSON.parse(process.argv[2]);
const storage = new Storage({
  email: job.email,
  password: job.password,
  secondFactorCode: job.code,
  gateway: `${job.gateway}/`,
  keepalive: false,
});
const find = (name) => storage.find(name, true);

const steps = {
  async upload(name, path, folder) {
    const content = readFileSync(path);
    const into = folder ? find(folder) : storage.root;
    const file = await into.upload({ name, size: content.length }, content).complete;
    return { handle: file.nodeId, size: file.size };
  },
  async download(name, path, options = {}) {
    await pipeline(find(name).download(options), createWriteStream(path));
  },
  names: async () => Object.values(storage.files).map((file) => file.name),
  link: (name) => find(name).link(),
  unlink: (name) => find(name).unshare(),
  rename: (name, other) => find(name).rename(other),
  mkdir: async (name) => (await storage.mkdir(name)).nodeId,
  move: (name, folder) => find(name).moveTo(find(folder)),
  erase: (name) => find(name).delete(true),
  trash: (name) => find(name).delete(),
  quota: () => storage.getAccountInfo(),
};

await storage.ready;
const told = [];
for (const [step, ...values] of job.steps) {
  told.push(await steps[step](...values).catch((error) => ({ error: error.message })));
}
await storage.close();
console.log(JSON.stringify(told));
