// What a page does to upload: with Uppy and its tus plugin, or by a WebSocket. Tests call both and read `window.told`.

import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

window.told = { sent: 0, url: null, error: null };

// Upload the file that is chosen next.
window.withUppy = (options) => {
  const uppy = new Uppy().use(Tus, options);
  uppy.on("upload-progress", (_, progress) => (window.told.sent = progress.bytesUploaded));
  uppy.on("upload-success", (_, response) => (window.told.url = response.uploadURL));
  uppy.on("upload-error", (_, error) => (window.told.error = error.message));
  document.getElementById("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    uppy.addFile({ name: file.name, type: file.type, data: file });
    uppy.upload();
  });
};

// Upload the file that is chosen next, as the described user interface does; give every message that came.
window.withSocket = (address, token) => {
  const messages = [];
  const socket = new WebSocket(address);
  socket.onopen = () => socket.send(token);
  socket.onerror = () => (window.told.error = "the socket failed");
  socket.onmessage = ({ data }) => {
    messages.push(data);
    if (data.includes("file_url")) window.told.url = JSON.parse(data).file_url;
  };
  document.getElementById("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    const bytes = await file.arrayBuffer();
    socket.send(file.name);
    socket.send(bytes);
  });
  window.told.messages = messages;
};
