import { describe, expect, it } from "vitest";
import type { DataPlaneNumbers } from "../../src/state/data-plane-metrics.ts";
import { Metrics } from "../../src/state/metrics.ts";
import { MAX_REASONS_OF_A_TYPE } from "../../src/state/state.ts";
import { Store } from "../../src/state/store.ts";
import { problemsOfMetrics } from "../peers/prometheus-text.ts";
import { root, start, uefiBoot, uqbar } from "./uefi-boot.ts";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const NUMBERS: DataPlaneNumbers = {
  connections: 2,
  bytesReceived: 1000,
  bytesSent: 2000,
  commandsPassedUp: 30,
  protocolErrors: 4,
  bufferBytes: 65536,
  payloadBytesCopied: 80,
  ring: { entries: 50, completions: 51, spins: 6, sleeps: 7 },
  latencySeconds: [0.001, 0.002],
  machines: [
    {
      name: "uqbar",
      readOps: 3,
      readBytes: 1024,
      borrowedBytes: 0,
      writeOps: 2,
      writeBytes: 256,
      flushOps: 1,
      errors: 0,
      queueDepth: 1,
      flushLatency: { buckets: [0, 0, 1], totalSeconds: 0.5 },
    },
  ],
  volumes: [
    {
      name: "uqbar-root",
      readOps: 7,
      readBytes: 4096,
      borrowedBytes: 1024,
      writeOps: 8,
      writeBytes: 512,
      flushOps: 9,
      errors: 0,
      queueDepth: 4,
      readLatency: { buckets: [4, 2, 1], totalSeconds: 0.25 },
      sizeBytes: 1048576,
      usedBytes: 4096,
    },
  ],
};

/** The sample lines of our own metrics, without those of the process. */
async function scrape(metrics: Metrics): Promise<readonly string[]> {
  const text = await metrics.text();
  return text.split("\n").filter((line) => line.startsWith("rackboot_") && !/^rackboot_(process|nodejs)_/.test(line));
}

describe("a scrape", () => {
  it("says what happened, how machines are, and what the data plane did", async () => {
    let nowMs = 0;
    const store = new Store({ now: () => nowMs });
    const metrics = new Metrics({ store, version: "1.2.3", dataPlane: () => NUMBERS });
    for (const event of [...start, ...uefiBoot.map(([, event]) => event)]) store.emit(event);
    store.emit({ type: "boot.began", machine: uqbar, boot: 1 });
    nowMs = 48_000;
    store.emit({ type: "boot.reached", machine: uqbar, boot: 1, stage: "up" });
    store.emit({ type: "volume.full", volume: root });
    await settle();
    await scrape(metrics);
    expect((await scrape(metrics)).filter((line) => !line.includes("_bucket"))).toMatchInlineSnapshot(`
      [
        "rackboot_build_info{version="1.2.3"} 1",
        "rackboot_events_total{type="config.loaded",reason=""} 1",
        "rackboot_events_total{type="volume.opened",reason=""} 1",
        "rackboot_events_total{type="service.started",reason=""} 1",
        "rackboot_events_total{type="daemon.ready",reason=""} 1",
        "rackboot_events_total{type="dhcp.discovered",reason=""} 2",
        "rackboot_events_total{type="dhcp.offered",reason=""} 2",
        "rackboot_events_total{type="dhcp.acknowledged",reason=""} 2",
        "rackboot_events_total{type="transfer.started",reason=""} 5",
        "rackboot_events_total{type="transfer.finished",reason=""} 5",
        "rackboot_events_total{type="file.refused",reason="no such file"} 1",
        "rackboot_events_total{type="iscsi.login",reason=""} 2",
        "rackboot_events_total{type="iscsi.firstRead",reason=""} 2",
        "rackboot_events_total{type="iscsi.closed",reason="peer-closed"} 1",
        "rackboot_events_total{type="boot.began",reason=""} 1",
        "rackboot_events_total{type="boot.reached",reason=""} 1",
        "rackboot_events_total{type="volume.full",reason=""} 1",
        "rackboot_transfer_sent_bytes_total{transport="tftp",role="loader"} 3490136",
        "rackboot_transfer_sent_bytes_total{transport="tftp",role="config"} 412",
        "rackboot_transfer_sent_bytes_total{transport="tftp",role="kernel"} 8200000",
        "rackboot_transfer_sent_bytes_total{transport="tftp",role="initramfs"} 44000000",
        "rackboot_transfer_duration_seconds_sum{transport="tftp",role="loader"} 1",
        "rackboot_transfer_duration_seconds_count{transport="tftp",role="loader"} 2",
        "rackboot_transfer_duration_seconds_sum{transport="tftp",role="config"} 0.01",
        "rackboot_transfer_duration_seconds_count{transport="tftp",role="config"} 1",
        "rackboot_transfer_duration_seconds_sum{transport="tftp",role="kernel"} 4",
        "rackboot_transfer_duration_seconds_count{transport="tftp",role="kernel"} 1",
        "rackboot_transfer_duration_seconds_sum{transport="tftp",role="initramfs"} 21",
        "rackboot_transfer_duration_seconds_count{transport="tftp",role="initramfs"} 1",
        "rackboot_boot_duration_seconds_sum 48",
        "rackboot_boot_duration_seconds_count 1",
        "rackboot_machines{status="off"} 1",
        "rackboot_machines{status="booting"} 0",
        "rackboot_machines{status="up"} 1",
        "rackboot_machines{status="lost"} 0",
        "rackboot_machine_up{machine="uqbar"} 1",
        "rackboot_machine_up{machine="tlon"} 0",
        "rackboot_service_up{service="iscsi"} 1",
        "rackboot_volume_alarm{volume="uqbar-root",kind="full"} 1",
        "rackboot_transfers 0",
        "rackboot_sessions 1",
        "rackboot_fault{fault="no-data-disk",number="1"} 0",
        "rackboot_fault{fault="data-disk-failing",number="2"} 0",
        "rackboot_fault{fault="no-link",number="3"} 0",
        "rackboot_fault{fault="address-conflict",number="4"} 0",
        "rackboot_fault{fault="configuration-rejected",number="5"} 0",
        "rackboot_fault{fault="service-stopped",number="6"} 0",
        "rackboot_fault{fault="update-failed",number="7"} 0",
        "rackboot_config_rejected 0",
        "rackboot_iscsi_received_bytes_total 1000",
        "rackboot_iscsi_sent_bytes_total 2000",
        "rackboot_iscsi_commands_passed_up_total 30",
        "rackboot_iscsi_protocol_errors_total 4",
        "rackboot_iscsi_payload_copied_bytes_total 80",
        "rackboot_iscsi_payload_zero_copy_bytes_total 1200",
        "rackboot_iscsi_ring_entries_total 50",
        "rackboot_iscsi_ring_completions_total 51",
        "rackboot_iscsi_ring_spins_total 6",
        "rackboot_iscsi_ring_sleeps_total 7",
        "rackboot_iscsi_connections 2",
        "rackboot_iscsi_buffer_bytes 65536",
        "rackboot_volume_reads_total{volume="uqbar-root"} 7",
        "rackboot_volume_read_bytes_total{volume="uqbar-root"} 4096",
        "rackboot_volume_writes_total{volume="uqbar-root"} 8",
        "rackboot_volume_written_bytes_total{volume="uqbar-root"} 512",
        "rackboot_volume_flushes_total{volume="uqbar-root"} 9",
        "rackboot_volume_errors_total{volume="uqbar-root"} 0",
        "rackboot_volume_borrowed_bytes_total{volume="uqbar-root"} 1024",
        "rackboot_machine_reads_total{machine="uqbar"} 3",
        "rackboot_machine_read_bytes_total{machine="uqbar"} 1024",
        "rackboot_machine_writes_total{machine="uqbar"} 2",
        "rackboot_machine_written_bytes_total{machine="uqbar"} 256",
        "rackboot_machine_flushes_total{machine="uqbar"} 1",
        "rackboot_machine_errors_total{machine="uqbar"} 0",
        "rackboot_volume_size_bytes{volume="uqbar-root"} 1048576",
        "rackboot_volume_used_bytes{volume="uqbar-root"} 4096",
        "rackboot_volume_queue_depth{volume="uqbar-root"} 4",
        "rackboot_machine_queue_depth{machine="uqbar"} 1",
        "rackboot_volume_latency_seconds_sum{volume="uqbar-root",operation="read"} 0.25",
        "rackboot_volume_latency_seconds_count{volume="uqbar-root",operation="read"} 7",
        "rackboot_machine_latency_seconds_sum{machine="uqbar",operation="flush"} 0.5",
        "rackboot_machine_latency_seconds_count{machine="uqbar",operation="flush"} 1",
      ]
    `);
  });

  it("works while there is no data plane", async () => {
    const lines = await scrape(new Metrics({ store: new Store(), version: "1", dataPlane: () => undefined }));
    expect(lines).toContain("rackboot_iscsi_connections 0");
  });

  it("can be had by two in one process, as tests do", async () => {
    const store = new Store();
    expect((await scrape(new Metrics({ store, version: "1" }))).length).toBe((await scrape(new Metrics({ store, version: "1" }))).length);
  });

  it("does not grow with what peers make up", async () => {
    const store = new Store();
    const metrics = new Metrics({ store, version: "1" });
    for (let index = 0; index < 500; index++) store.emit({ type: "peer.malformed", service: "tftp", peer: "x", reason: `reason ${index}` });
    await settle();
    const lines = (await scrape(metrics)).filter((line) => line.includes("peer.malformed"));
    expect(lines).toHaveLength(MAX_REASONS_OF_A_TYPE + 1);
    expect(lines).toContain(`rackboot_events_total{type="peer.malformed",reason="other"} ${500 - MAX_REASONS_OF_A_TYPE}`);
  });

  it("is Prometheus text with the prefix everywhere, in seconds and bytes", async () => {
    const metrics = new Metrics({ store: new Store(), version: "1", dataPlane: () => NUMBERS });
    expect(metrics.contentType).toContain("text/plain; version=0.0.4");
    const names = [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !name.startsWith("rackboot_") || /_(ms|milliseconds|kb|mb)(_|$)/.test(name))).toEqual([]);
  });

  it("shows how long commands took, as Prometheus cumulates it, and nothing of operations that never were", async () => {
    const metrics = new Metrics({ store: new Store({ now: () => 0 }), version: "1", dataPlane: () => NUMBERS });
    const text = await metrics.text();
    expect(text.split("\n").filter((line) => line.includes("latency_seconds"))).toMatchInlineSnapshot(`
      [
        "# HELP rackboot_volume_latency_seconds From the arrival of a command to its answer.",
        "# TYPE rackboot_volume_latency_seconds histogram",
        "rackboot_volume_latency_seconds_bucket{le="0.001",volume="uqbar-root",operation="read"} 4",
        "rackboot_volume_latency_seconds_bucket{le="0.002",volume="uqbar-root",operation="read"} 6",
        "rackboot_volume_latency_seconds_bucket{le="+Inf",volume="uqbar-root",operation="read"} 7",
        "rackboot_volume_latency_seconds_sum{volume="uqbar-root",operation="read"} 0.25",
        "rackboot_volume_latency_seconds_count{volume="uqbar-root",operation="read"} 7",
        "# HELP rackboot_machine_latency_seconds From the arrival of a command to its answer.",
        "# TYPE rackboot_machine_latency_seconds histogram",
        "rackboot_machine_latency_seconds_bucket{le="0.001",machine="uqbar",operation="flush"} 0",
        "rackboot_machine_latency_seconds_bucket{le="0.002",machine="uqbar",operation="flush"} 0",
        "rackboot_machine_latency_seconds_bucket{le="+Inf",machine="uqbar",operation="flush"} 1",
        "rackboot_machine_latency_seconds_sum{machine="uqbar",operation="flush"} 0.5",
        "rackboot_machine_latency_seconds_count{machine="uqbar",operation="flush"} 1",
      ]
    `);
    expect(problemsOfMetrics(text)).toEqual([]);
  });
});
