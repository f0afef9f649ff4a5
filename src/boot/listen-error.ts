/** A service cannot have its address and port. The message ends with what a person can do. */
export class ListenError extends Error {
  readonly code: string;

  constructor(service: string, address: string, port: number, cause: unknown) {
    const code = systemCode(cause);
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`${service} cannot listen on ${address}:${port}: ${ADVICE[code]?.(service, port) ?? text}`, { cause });
    this.code = code;
  }
}

const ADVICE: Readonly<Record<string, (service: string, port: number) => string>> = {
  EADDRINUSE: (service, port) =>
    `another program has the port. \`ss -lnptu 'sport = :${port}'\` names it; stop it, or set another ${service.toLowerCase()} port in the configuration`,
  EACCES: (service) =>
    `ports below 1024 need root or CAP_NET_BIND_SERVICE. Start rackboot as root, or set a higher ${service.toLowerCase()} port in the configuration`,
  EADDRNOTAVAIL: () => "no interface has this address. Check network.address in the configuration, and `ip address`",
};

function systemCode(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "ERR_LISTEN";
}
