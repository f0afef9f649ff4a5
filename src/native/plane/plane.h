// The data plane as its owner sees it: called on one thread (JavaScript's), answered by events. No Node-API in here.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "events.h"
#include "plane/aside.h"
#include "plane/map-builder.h"
#include "plane/worker.h"

namespace rackboot {

class Listener;
struct RangeJob;

constexpr uint32_t kMostThreads = 64;
/// Connections in all; further ones are closed as soon as they are accepted.
constexpr uint32_t kMostConnections = 1024;

struct LatencyCount {
  std::array<uint64_t, kLatencyBuckets> buckets{};
  uint64_t totalNs = 0;
};

/// The sum of what the threads counted.
struct IoCount {
  uint64_t readOps = 0, readBytes = 0, borrowedBytes = 0, writeOps = 0, writeBytes = 0, flushOps = 0, errors = 0, readErrors = 0,
           queueDepth = 0;
  std::array<LatencyCount, kBooked> latencies;
};

struct VolumeCount {
  VolumeId volume;
  IoCount io;
};

struct AccountCount {
  std::string name;
  IoCount io;
};

struct PlaneCount {
  uint64_t connections = 0, bytesReceived = 0, bytesSent = 0, commandsPassedUp = 0, protocolErrors = 0, bufferBytes = 0,
           payloadBytesCopied = 0, ringEntries = 0, ringCompletions = 0, ringSpins = 0, ringSleeps = 0;
  std::vector<VolumeCount> volumes;
  std::vector<AccountCount> accounts;
};

struct VolumeChange {
  std::optional<uint64_t> sizeBytes;
  std::optional<bool> readOnly;
  std::optional<bool> writeCache;
  std::optional<bool> descriptorSense;
  /// Of nothing: it is ready.
  std::optional<std::optional<Outcome>> notReady;
};

/// How long a session may say nothing before it is pinged, and then before it is given up: together less than the 90 s of TCP's
/// keepalive, and as much of them as can be, since a machine on an overloaded host may stall for long.
struct PingLimits {
  uint64_t idleNs = 15'000'000'000;
  uint64_t answerNs = 70'000'000'000;
};

class Plane {
 public:
  explicit Plane(EventSink& sink) : sink_(sink), maps_(sink) {}
  /// Everything must have stopped.
  ~Plane();

  /// Starts the threads. Returns an errno and a sentence with the next step.
  int start(uint32_t threads, uint64_t memoryBytes, uint64_t spinNs, const PingLimits& pings, std::string& message);
  const PingLimits& pings() const { return pings_; }
  const Capabilities& capabilities() const { return capabilities_; }

  /// Returns the port, or -errno and a sentence.
  int listen(uint32_t portal, const std::string& address, uint16_t port, std::string& message);
  void unlisten(uint32_t portal);

  /// Returns 0 with an errno and a sentence where it cannot.
  VolumeId openVolume(const VolumeSpec& spec, int& error, std::string& message);
  // These are answered by a `settled` event of that request.
  void closeVolume(VolumeId id, uint64_t request);
  void updateVolume(VolumeId id, const VolumeChange& change, uint64_t request);
  void freeze(VolumeId id, uint64_t request);
  void thaw(VolumeId id);
  void setAccess(VolumeId id, const VolumeAccess& access, uint64_t request);
  void abortTasks(VolumeId id, const std::vector<ConnectionId>& connections, uint64_t request);
  void flush(VolumeId id, uint64_t request);
  void work(const RangeJob& job, uint64_t request);
  void raiseAttention(VolumeId id, uint8_t asc, uint8_t ascq, const Audience& audience);
  /// A file that volumes may be read through is going away: they read their own from now on.
  void withdrawOrigin(const std::string& path);

  /// Runs on the connection's thread, if the connection is still there.
  void withConnection(ConnectionId id, std::function<void(Connection&)> action);

  /// Sessions are told whose they are, for counting; what a name counted stays.
  std::shared_ptr<Account> account(const std::string& name);

  PlaneCount count() const;
  /// Ends everything; each thread tells with a `stopped` event. `hurry` waits for nobody but the disk.
  void stop(bool hurry);
  /// Waits for the threads to end.
  void join();

  // From the threads.
  EventSink& sink() { return sink_; }
  void accepted(int fd, uint32_t portal);
  const std::vector<Worker*>& workers() const { return order_; }
  /// Locks of volumes that are held or waited for; no thread ends while there is one.
  uint32_t locks() const { return locks_.load(); }
  bool beginLock();
  void endLock() { locks_.fetch_sub(1); }
  void aside(std::function<void()> work) { aside_.post(std::move(work)); }

 private:
  void broadcast(const Message& message);
  void flushVolume(const std::shared_ptr<Volume>& volume, uint64_t request);
  void settle(uint64_t request, int error, std::string detail);
  std::shared_ptr<Volume> volume(VolumeId id, uint64_t request);
  void shareBlocks(Volume& volume);

  EventSink& sink_;
  PingLimits pings_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> order_;
  Capabilities capabilities_;
  std::unordered_map<uint32_t, Listener*> listeners_;
  std::unordered_map<VolumeId, std::shared_ptr<Volume>> volumes_;
  VolumeId nextVolume_ = 1;
  std::map<FileId, std::weak_ptr<SharedBlocks>> blocks_;
  std::map<std::string, std::shared_ptr<Account>> accounts_;
  MapBuilder maps_;
  Aside aside_;
  std::atomic<uint32_t> locks_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace rackboot
