import { defineConfig, type ViteUserConfig } from "vitest/config";

/** What loads the native addon or starts processes runs file by file: two cores, and no timing decides a test. */
const oneAtATime = { fileParallelism: false, pool: "forks" } as const;

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/native/**", "test/peers/**", "test/netboot/**", "test/appliance/**", "test/long/**"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      { test: { name: "native", include: ["test/native/**/*.test.ts"], testTimeout: 60_000, ...oneAtATime } },
      { test: { name: "peers", include: ["test/peers/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000, ...oneAtATime } },
      { test: { name: "netboot", include: ["test/netboot/**/*.test.ts"], testTimeout: 900_000, hookTimeout: 1_200_000, ...oneAtATime } },
      { test: { name: "board", include: ["test/appliance/**/*.test.ts"], testTimeout: 900_000, hookTimeout: 1_200_000, ...oneAtATime } },
      { test: { name: "long", include: ["test/long/**/*.test.ts"], testTimeout: 7_200_000, hookTimeout: 1_200_000, ...oneAtATime } },
    ],
  },
});

export default config;
