#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <thread>

#include "raw_server.hpp"
#include "report.hpp"
#include "ring.hpp"
#include "worker.hpp"

namespace loadgen {
namespace {

std::atomic<bool> interrupted{false};

void sleepUntilOr(double seconds, const std::vector<std::unique_ptr<Worker>>& workers) {
  const std::uint64_t until = nowNs() + static_cast<std::uint64_t>(seconds * 1e9);
  const auto done = [](const auto& worker) { return worker->loadDone(); };
  while (nowNs() < until && !interrupted.load() && !std::all_of(workers.begin(), workers.end(), done)) {
    const std::uint64_t left = until - std::min(until, nowNs());
    usleep(static_cast<useconds_t>(std::min<std::uint64_t>(left / 1000, 5000)));
  }
}

double ownCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::vector<std::string> discover(const Options& options) {
  Portal portal(options);
  portal.login("", 0);
  auto names = portal.sendTargets();
  portal.logout();
  return names;
}

struct Slice {
  std::uint64_t firstByte = 0;
  std::uint64_t slots = 0;
};

// The part of its disk that belongs to session `index`.
Slice sliceOf(const Options& options, const Capacity& capacity, std::uint32_t index) {
  if (capacity.blockBytes == 0 || options.blockBytes % capacity.blockBytes != 0)
    throw UsageError("--block: must be a multiple of the disk's block of " + std::to_string(capacity.blockBytes));
  const std::uint64_t whole = capacity.blocks * capacity.blockBytes;
  if (options.regionBytes > whole) throw UsageError("--region: the disk has " + std::to_string(whole) + " octets");
  const std::uint64_t region = options.regionBytes == 0 ? whole : options.regionBytes;
  const std::uint32_t sharers = options.sessions / options.disks + (index % options.disks < options.sessions % options.disks ? 1 : 0);
  const std::uint64_t slots = region / options.blockBytes / sharers;
  if (slots < 2 * std::uint64_t{options.depth})
    throw UsageError("--region: too small for " + std::to_string(sharers) + " sessions with " + std::to_string(options.depth) +
                     " commands in flight");
  if (options.verify && slots * options.sessions > kMaxVerifySlots)
    throw UsageError("--verify: keeps track of at most " + std::to_string(kMaxVerifySlots) + " blocks; choose a smaller --region");
  return {index / options.disks * slots * options.blockBytes, slots};
}

void addSessions(const Options& options, const std::string& target, std::vector<std::unique_ptr<Worker>>& workers) {
  for (std::uint32_t i = 0; i < options.sessions; ++i) {
    auto portal = std::make_unique<Portal>(options);
    const std::uint32_t disk = i % options.disks;
    const std::size_t place = target.find('%');
    const std::string name = place == std::string::npos ? target : std::string(target).replace(place, 1, std::to_string(disk));
    const std::uint32_t lun = options.lun + (place == std::string::npos ? disk : 0);
    Capacity capacity{(options.regionBytes == 0 ? std::uint64_t{1} << 30 : options.regionBytes) / 512, 512};
    if (options.raw) {
      portal->skipLogin();
    } else {
      portal->login(name, i);
      capacity = portal->capacity(lun);
    }
    const Slice slice = sliceOf(options, capacity, i);
    workers[i % workers.size()]->add(std::move(portal), lun, capacity.blockBytes,
                                     Workload(options, slice.firstByte, slice.slots, options.seed + i));
  }
}

Report run(const Options& options) {
  std::string target = options.target;
  if (target.empty() && !options.raw) {
    const auto names = discover(options);
    if (names.empty()) throw RunError("discovery lists no target; name one with --target");
    target = names.front();
  }
  std::atomic<Moment> moment{Moment::kWarmUp};
  // With a bound on operations nothing is warmed up: every one of them counts.
  const bool counted = options.operations > 0 || options.once;
  if (counted) moment = Moment::kMeasure;
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::uint32_t i = 0; i < options.threads; ++i) {
    const std::uint64_t share = options.operations / options.threads + (i < options.operations % options.threads ? 1 : 0);
    workers.push_back(std::make_unique<Worker>(options, moment, counted ? share : ~std::uint64_t{0}));
  }
  addSessions(options, target, workers);

  std::vector<std::thread> threads;
  Report report;
  for (const auto& worker : workers) threads.emplace_back([&worker] { worker->run(); });
  if (!counted) sleepUntilOr(options.warmupSeconds, workers);
  moment = Moment::kMeasure;
  const std::uint64_t start = nowNs();
  const double serverStart = cpuSecondsOf(options.serverPids);
  const double clientStart = ownCpuSeconds();
  sleepUntilOr(options.seconds, workers);
  moment = Moment::kStop;
  report.seconds = static_cast<double>(nowNs() - start) / 1e9;
  report.clientCpuSeconds = ownCpuSeconds() - clientStart;
  report.serverCpuSeconds = cpuSecondsOf(options.serverPids) - serverStart;
  for (std::thread& thread : threads) thread.join();

  for (const auto& worker : workers) {
    const Totals& totals = worker->totals();
    report.measured.operations += worker->measured().operations;
    report.measured.bytes += worker->measured().bytes;
    report.measured.latency.merge(worker->measured().latency);
    report.totals.operations += totals.operations;
    report.totals.retries += totals.retries;
    report.totals.unitAttentions += totals.unitAttentions;
    report.totals.verifiedBytes += totals.verifiedBytes;
    report.totals.mismatches += totals.mismatches;
    report.totals.r2ts += totals.r2ts;
    report.totals.complaints.insert(report.totals.complaints.end(), totals.complaints.begin(), totals.complaints.end());
    if (report.error.empty()) report.error = worker->error();
  }
  return report;
}

int runAndReport(const Options& options) {
  // Ended by hand, a run still reports and logs out.
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted.store(true); };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const Report report = run(options);
  std::fputs((options.json ? asJson(options, report) : asText(options, report)).c_str(), stdout);
  return report.error.empty() && report.totals.mismatches == 0 ? 0 : 1;
}

}  // namespace
}  // namespace loadgen

int main(int argc, char** argv) {
  using namespace loadgen;
  try {
    const Options options = parseOptions(argc, argv);
    switch (options.command) {
      case Command::kRun: return runAndReport(options);
      case Command::kDiscover:
        for (const std::string& name : discover(options)) std::printf("%s\n", name.c_str());
        return 0;
      case Command::kRawServer: serveRaw(options); return 0;
    }
  } catch (const UsageError& error) {
    std::fprintf(stderr, "loadgen: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "loadgen: %s\n", error.what());
    return 1;
  }
  return 1;
}
