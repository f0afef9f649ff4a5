/** Where the daemon and its clients meet, unless RACKBOOT_SOCKET or `--socket` says otherwise. */
export function defaultSocketPath(
  env: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.geteuid?.() ?? 0,
): string {
  const chosen = env["RACKBOOT_SOCKET"];
  if (chosen !== undefined && chosen !== "") return chosen;
  if (uid === 0) return "/run/rackboot/control.sock";
  const runtime = env["XDG_RUNTIME_DIR"];
  return `${runtime === undefined || runtime === "" ? `/tmp/rackboot-${uid}` : `${runtime}/rackboot`}/control.sock`;
}
