#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace loadgen {

// What the person asked for cannot be done as asked; the message says what to write instead.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The target or the network did not do what was needed; the message says what happened.
class RunError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Command { kRun, kDiscover, kRawServer };
enum class Mode { kRead, kWrite, kMixed, kIdle };

// Every bound of this program, so that no run lasts for ever or takes the machine with it.
inline constexpr std::uint32_t kMaxSessions = 1024;
inline constexpr std::uint32_t kMaxDepth = 1024;
inline constexpr std::uint32_t kMaxThreads = 64;
inline constexpr std::uint64_t kMaxBlockBytes = 16u << 20;
inline constexpr double kMaxSeconds = 86400;
inline constexpr std::uint64_t kMaxVerifySlots = 1u << 26;

struct Options {
  Command command = Command::kRun;
  std::string host = "127.0.0.1";
  std::uint16_t port = 3260;
  // Empty: ask by discovery, take the first.
  std::string target;
  std::string initiator = "iqn.2026-01.lan.rackboot:loadgen";
  std::uint32_t lun = 0;
  // Sessions are spread over this many disks: over targets where the name holds a %, over LUNs from `lun` on otherwise.
  std::uint32_t disks = 1;

  Mode mode = Mode::kRead;
  bool random = false;
  std::uint32_t readPercent = 50;
  std::uint64_t blockBytes = 4096;
  std::uint32_t depth = 1;
  std::uint32_t sessions = 1;
  std::uint32_t threads = 1;
  // 0: the whole disk.
  std::uint64_t regionBytes = 0;
  bool flush = false;
  bool wideCdb = false;
  std::uint64_t seed = 1;

  double warmupSeconds = 0.2;
  double seconds = 5;
  // 0: bounded by time only.
  std::uint64_t operations = 0;
  // Each session goes through its part of the disk once, and that ends the run.
  bool once = false;
  double timeoutSeconds = 30;

  bool verify = false;
  std::uint32_t generation = 1;

  bool initialR2t = false;
  bool immediateData = true;
  std::uint32_t maxRecvBytes = 262144;
  std::uint32_t maxBurstBytes = 16776192;
  std::uint32_t firstBurstBytes = 262144;
  std::uint32_t maxOutstandingR2t = 1;
  bool headerDigest = false;
  bool dataDigest = false;

  // The peer is `raw-server`: no login, no disk, the same octets.
  bool raw = false;
  std::uint32_t spinMicroseconds = 0;
  std::vector<int> serverPids;
  bool json = false;
};

// Throws UsageError. `--help` prints and exits with 0.
Options parseOptions(int argc, char** argv);

}  // namespace loadgen
