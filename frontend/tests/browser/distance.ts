// A relay to a port of this machine that delays all data by a fixed time, in order.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface Distance {
  readonly port: number;
  stop(): Promise<void>;
}

function carry(from: Socket, to: Socket, delayMs: number): void {
  from.on("data", (data) => setTimeout(() => to.writable && to.write(data), delayMs));
  from.on("close", () => setTimeout(() => to.end(), delayMs));
  from.on("error", () => to.destroy());
}

export async function distance(port: number, delayMs: number): Promise<Distance> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      open.add(socket.setNoDelay());
      socket.on("close", () => open.delete(socket));
    }
    carry(near, far, delayMs);
    carry(far, near, delayMs);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("There is no free port.");
  const stop = async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { port: address.port, stop };
}
