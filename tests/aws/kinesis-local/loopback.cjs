// Loaded before kinesis-local, which listens on all interfaces and cannot be told otherwise.
const { Server } = require("node:net");

const { listen } = Server.prototype;

Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== "number" || typeof rest[0] === "string") {
    throw new Error("kinesis-local listens in a way that loopback.cjs does not know");
  }
  return listen.call(this, port, "127.0.0.1", ...rest);
};
