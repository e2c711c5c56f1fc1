// A server of `@tus/server` with uploads on disk.
//
//     node node.mjs DIRECTORY
//
// Listens on a free port of 127.0.0.1 and prints `listening ADDRESS`.

import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory] = process.argv.slice(2);
const server = new Server({ path: "/files", datastore: new FileStore({ directory }) });
const listener = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(`listening 127.0.0.1:${listener.address().port}`);
});

// Some requests whose connection is reset end in an error that nobody can catch: "ReadableStream is
// already closed", from Node itself. Other requests are not the worse for it.
process.on("uncaughtException", (error) => console.error(error));
