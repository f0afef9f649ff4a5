// One data thread: its ring, its buffers, its connections. Nothing of it is touched by another thread except the mailbox and the
// counters.
#pragma once

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "events.h"
#include "plane/connection.h"
#include "plane/mailbox.h"
#include "plane/ring.h"
#include "plane/volume-io.h"

namespace rackboot {

class Plane;

struct alignas(64) WorkerStats {
  Counter bytesReceived, bytesSent, payloadBytesCopied, bufferBytes;
  SessionCounters sessions;
};

/// Who is told of a unit attention: `only` these where there are any, otherwise everybody but `except`.
struct Audience {
  ConnectionId except = 0;
  std::vector<ConnectionId> only;
  bool includes(ConnectionId id) const;
};

struct StartResult {
  int error = 0;
  std::string message;
  Capabilities capabilities;
};

class Worker final : private Threads {
 public:
  Worker(Plane& plane, uint32_t index, uint64_t poolBytes, uint64_t spinNs);
  ~Worker();

  // From any thread.
  StartResult start();
  void join();
  void post(Message message) { mailbox_.post(std::move(message)); }
  /// After join(): messages that came too late go, and with them what they hold.
  void discardMail() { mailbox_.take(); }
  const WorkerStats& stats() const { return stats_; }
  const RingStats& ringStats() const { return ring_.stats(); }
  /// Connections that are here or on their way here.
  std::atomic<uint32_t> load{0};

  // On its own thread.
  Ring& ring() { return ring_; }
  uint32_t index() const { return index_; }
  BufferPool& pool() { return pool_; }
  VolumeIo& volumes() { return volumes_; }
  WorkerStats& stats() { return stats_; }
  Plane& plane() { return plane_; }
  uint32_t connections() const { return static_cast<uint32_t>(connections_.size()); }
  Connection* find(ConnectionId id);
  void emit(Event&& event) { events_.push_back(std::move(event)); }
  void adopt(ConnectionId id, int fd, uint32_t portal);
  void ready(Connection& connection);
  void starve(Connection& connection);
  void remove(Connection& connection) { connection.gone = true; }
  /// 0: none.
  void setDeadline(Connection& connection, uint64_t atNs);
  void resetEverywhere(const std::vector<VolumeId>& volumes, ResetKind kind, ConnectionId origin, const BarrierRef& barrier);
  void reset(const std::vector<VolumeId>& volumes, ResetKind kind, ConnectionId origin, const BarrierRef& barrier);
  void raiseAttention(VolumeId volume, const Sense& sense, const Audience& audience);
  /// An fdatasync of its own; `done` gets 0 or an errno.
  void flush(std::shared_ptr<Volume> volume, std::function<void(int)> done);
  /// Ends every connection, then the thread. `hurry` waits for nobody but the disk.
  void stop(bool hurry);
  /// Something of the thread's own, such as a listener, has an entry in the ring.
  void addGuest() { ++guests_; }
  void removeGuest() { --guests_; }

 private:
  void on(uint32_t thread, VolumeMessage message) override;
  void everywhere(VolumeMessage message) override;
  void aside(std::function<void()> work) override;
  bool beginLock() override;
  void endLock() override;

  struct Bell final : Completion {
    explicit Bell(Worker& worker) : owner(worker) {}
    void completed(int, bool) override { owner.ring(*this); }
    Worker& owner;
    uint64_t count = 0;
  };

  void run(std::promise<StartResult>& started);
  void ring(Bell& bell);
  void armBell();
  void takeTurns();
  void forget(Connection& connection);
  void fireDeadlines();
  void feedStarving();
  uint64_t waitNs() const;

  Plane& plane_;
  const uint32_t index_;
  Mailbox mailbox_;
  BufferPool pool_;
  Ring ring_;
  std::vector<Event> events_;
  VolumeIo volumes_;
  WorkerStats stats_;
  Bell bell_{*this};
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
  std::deque<Connection*> ready_;
  std::vector<Connection*> starving_;
  std::set<std::pair<uint64_t, Connection*>> deadlines_;
  uint64_t returnsSeen_ = 0;
  uint32_t guests_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rackboot
