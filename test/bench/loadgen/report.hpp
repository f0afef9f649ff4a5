#pragma once

#include <string>

#include "worker.hpp"

namespace loadgen {

struct Report {
  double seconds = 0;
  Measured measured;
  Totals totals;
  // Processor seconds within the measured time; the server's only where --server-pid names it.
  double serverCpuSeconds = 0;
  double clientCpuSeconds = 0;
  std::string error;
};

// One JSON object on one line.
std::string asJson(const Options& options, const Report& report);
std::string asText(const Options& options, const Report& report);

// utime + stime of these processes, all threads and the ended ones (proc(5)), in seconds. Throws RunError.
double cpuSecondsOf(const std::vector<int>& pids);

}  // namespace loadgen
