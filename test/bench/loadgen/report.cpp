#include "report.hpp"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

namespace loadgen {
namespace {

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += format("\\u%04x", c);
    else
      out += c;
  }
  return out + '"';
}

double perSecond(double value, double seconds) {
  return seconds > 0 ? value / seconds : 0;
}

}  // namespace

std::string asJson(const Options& options, const Report& report) {
  const Histogram& latency = report.measured.latency;
  const auto microseconds = [&latency](double fraction) { return static_cast<double>(latency.percentile(fraction)) / 1e3; };
  std::string out = "{";
  out += format("\"seconds\":%.6f,\"operations\":%llu,\"bytes\":%llu", report.seconds,
                static_cast<unsigned long long>(report.measured.operations), static_cast<unsigned long long>(report.measured.bytes));
  out += format(",\"operationsPerSecond\":%.1f,\"bytesPerSecond\":%.0f",
                perSecond(static_cast<double>(report.measured.operations), report.seconds),
                perSecond(static_cast<double>(report.measured.bytes), report.seconds));
  out += format(",\"latencyMicroseconds\":{\"mean\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", latency.mean() / 1e3,
                microseconds(0.5), microseconds(0.99), microseconds(0.999), static_cast<double>(latency.max()) / 1e3);
  out += format(",\"serverCpuSeconds\":%.3f,\"clientCpuSeconds\":%.3f", report.serverCpuSeconds, report.clientCpuSeconds);
  out += format(",\"totalOperations\":%llu,\"retries\":%llu,\"unitAttentions\":%llu",
                static_cast<unsigned long long>(report.totals.operations), static_cast<unsigned long long>(report.totals.retries),
                static_cast<unsigned long long>(report.totals.unitAttentions));
  out += format(",\"r2ts\":%llu,\"verify\":%s,\"verifiedBytes\":%llu,\"mismatches\":%llu,\"complaints\":[",
                static_cast<unsigned long long>(report.totals.r2ts), options.verify ? "true" : "false",
                static_cast<unsigned long long>(report.totals.verifiedBytes), static_cast<unsigned long long>(report.totals.mismatches));
  for (std::size_t i = 0; i < report.totals.complaints.size(); ++i) out += (i > 0 ? "," : "") + quoted(report.totals.complaints[i]);
  return out + "],\"error\":" + (report.error.empty() ? "null" : quoted(report.error)) + "}\n";
}

std::string asText(const Options& options, const Report& report) {
  const Histogram& latency = report.measured.latency;
  const auto microseconds = [&latency](double fraction) { return static_cast<double>(latency.percentile(fraction)) / 1e3; };
  const double operations = static_cast<double>(report.measured.operations);
  const double bytes = static_cast<double>(report.measured.bytes);
  std::string out = format("%.0f operations/s, %.1f MB/s in %.2f s\n", perSecond(operations, report.seconds),
                           perSecond(bytes, report.seconds) / 1e6, report.seconds);
  out += format("latency: mean %.1f us, p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n", latency.mean() / 1e3, microseconds(0.5),
                microseconds(0.99), microseconds(0.999), static_cast<double>(latency.max()) / 1e3);
  if (!options.serverPids.empty() && operations > 0)
    out += format("server: %.3f CPU s, %.3f s/GiB, %.2f s per million operations\n", report.serverCpuSeconds,
                  report.serverCpuSeconds / (bytes / (1u << 30)), report.serverCpuSeconds / operations * 1e6);
  if (options.verify)
    out += format("verified %.1f MB, %llu mismatches\n", static_cast<double>(report.totals.verifiedBytes) / 1e6,
                  static_cast<unsigned long long>(report.totals.mismatches));
  for (const std::string& complaint : report.totals.complaints) out += "  " + complaint + "\n";
  if (!report.error.empty()) out += "failed: " + report.error + "\n";
  return out;
}

double cpuSecondsOf(const std::vector<int>& pids) {
  double ticks = 0;
  for (const int pid : pids) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string all((std::istreambuf_iterator<char>(file)), {});
    // The name, field 2, may hold anything; what follows its last bracket starts at field 3.
    const std::size_t end = all.rfind(')');
    if (end == std::string::npos) throw RunError("--server-pid: there is no process " + std::to_string(pid));
    std::istringstream fields(all.substr(end + 2));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    ticks += user + system;
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace loadgen
