// Upload one file with tus-js-client, as the JSON on the command line says; print what came of it, as JSON.
//
// {"file": path, "storage": path, "stopAt": bytes, "breaksOff": true, "deferred": true, "options": {…}}
//
// stopAt leaves after the chunk that brings so many bytes; breaksOff as soon as bytes are on their way.

import { createReadStream, readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { FileUrlStorage, Upload } from "tus-js-client";

const job = JSON.parse(process.argv[2]);
const requests = [];

function source() {
  // A stream without a path: the client would look a file's size up.
  return job.deferred ? createReadStream(job.file).pipe(new PassThrough()) : readFileSync(job.file);
}

function upload({ stopAt = Infinity, breaksOff = false }) {
  return new Promise((resolve, reject) => {
    const leave = async (sent) => {
      await one.abort();
      resolve({ url: one.url, sent });
    };
    const one = new Upload(source(), {
      ...job.options,
      urlStorage: new FileUrlStorage(job.storage),
      fingerprint: async () => `file-${job.file}`,
      onBeforeRequest: (request) => requests.push(request.getMethod()),
      onError: reject,
      onSuccess: () => resolve({ url: one.url }),
      onChunkComplete: (_, sent) => sent >= stopAt && leave(sent),
      onProgress: (sent) => breaksOff && sent > 0 && leave(sent),
    });
    one.findPreviousUploads().then((previous) => {
      if (previous.length) one.resumeFromPreviousUpload(previous[0]);
      one.start();
    }, reject);
  });
}

try {
  const outcome = await upload(job);
  console.log(JSON.stringify({ ...outcome, requests }));
  process.exit(0); // a request that was aborted may still hold its connection
} catch (error) {
  const answer = error.originalResponse;
  console.log(JSON.stringify({ status: answer ? answer.getStatus() : 0, error: error.message, requests }));
}
