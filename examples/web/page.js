import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import Tus from "@uppy/tus";

const uppy = new Uppy()
  .use(Dashboard, { target: "#uppy", inline: true, width: "100%", proudlyDisplayPoweredByUppy: false })
  .use(Tus, {
    endpoint: TUS_ENDPOINT, // from build.mjs
    // One request per file, whatever its size: the server keeps what arrived of a request that breaks,
    // so a `chunkSize` would only cost time. Behind a proxy that limits bodies, set it below the limit.
    // A server that restarts, or a phone in a tunnel, needs more patience than the default of 9 s.
    retryDelays: [0, 1000, 3000, 5000, 10000, 20000, 30000],
    // What the server is told of a file, as `filename` and `filetype` too.
    allowedMetaFields: ["name", "type"],
  });

uppy.on("upload-success", (file, { uploadURL }) => {
  const link = Object.assign(document.createElement("a"), { href: uploadURL, textContent: file.name });
  const item = document.createElement("li");
  item.append(link);
  document.querySelector("#finished").append(item);
});
