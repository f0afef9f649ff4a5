// A volume: one file (or block device) that sessions of every thread share, and each thread's own view of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scsi/sense.h"
#include "storage/io-stats.h"
#include "storage/shared-blocks.h"

namespace rackboot {

using VolumeId = uint32_t;

struct VolumeSpec {
  std::string path;
  uint64_t sizeBytes = 0;
  uint32_t blockSize = 512;
  bool readOnly = false;
  bool writeCache = true;
  bool thin = false;
  /// Immutable files that some of its blocks may be shared with; where several have one, it is read through the first.
  std::vector<std::string> origins;
};

/// How a file system answers reads and writes that must not wait.
enum class InlineIo : uint8_t {
  never,   // RWF_NOWAIT is not supported: everything through the ring
  nowait,  // what the page cache has, at once
  always,  // a file system in memory: nothing ever waits
};

/// Lets one at a time have something: the others wait in line.
class Turnstile {
 public:
  /// Runs `turn` now, or later on the thread of whoever leaves.
  void enter(std::function<void()> turn) {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(taken_, true)) return waiting_.push_back(std::move(turn));
    }
    turn();
  }
  void leave() {
    std::function<void()> next;
    {
      const std::lock_guard lock(mutex_);
      taken_ = !waiting_.empty();
      if (!taken_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next();
  }

 private:
  std::mutex mutex_;
  bool taken_ = false;
  std::deque<std::function<void()>> waiting_;
};

/// What all threads share. Everything but the atomics is fixed when it is opened.
struct Volume {
  VolumeId id = 0;
  VolumeSpec spec;
  int fd = -1;
  InlineIo inlineReads = InlineIo::never;
  InlineIo inlineWrites = InlineIo::never;
  /// For good: a flush failed, or the file is shorter than the volume.
  std::atomic<bool> failed{false};
  std::atomic<uint64_t> lastFullMs{0};
  std::vector<IoStats> stats;  // one a thread
  FileId file;
  /// Of the file: all volumes over it have the same.
  std::shared_ptr<SharedBlocks> blocks = std::make_shared<SharedBlocks>();
  Turnstile exclusive;  // who may lock it

  ~Volume();
  /// Once no thread uses it any more.
  void closeFile();
  /// The size that the file or device has now, octets; -errno where it cannot tell.
  int64_t fileBytes() const;
  /// An errno where the kernel has lost pages of the file since it was opened, else 0; whoever asked first has told by then.
  int lostPages(const std::function<void(int)>& tell);

 private:
  friend std::shared_ptr<Volume> openVolume(VolumeId, const VolumeSpec&, uint32_t, int&, std::string&);
  /// The kernel tells each description of an open file of lost pages once, whichever call comes first. `fd` is shared by all threads, so
  /// that of two flushes under way one could hear of it, and the other succeed and be answered before. Nobody flushes through this one: it
  /// is only asked, by one at a time, before anything durable is acknowledged.
  int witness_ = -1;
  std::mutex witnessMutex_;
};

/// Opens the file and checks it against the spec; `spec.sizeBytes` 0 becomes the file's size. Returns null, with errno in `error`
/// and a sentence in `message`.
std::shared_ptr<Volume> openVolume(VolumeId id, const VolumeSpec& spec, uint32_t threads, int& error, std::string& message);

/// Waiting for several parties to be done: each holds a reference, and the last to let go runs the action, on its thread.
class Barrier {
 public:
  explicit Barrier(std::function<void()> done) : done_(std::move(done)) {}
  ~Barrier() { done_(); }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

 private:
  std::function<void()> done_;
};
using BarrierRef = std::shared_ptr<Barrier>;

/// What a reservation of another nexus keeps a command from; each level keeps from what the ones before it do, too.
enum class Denied : uint8_t { nothing, writes, medium, unit };

/// Who may use a volume that is reserved (SPC-4, 5.13), in the names of connections.
struct VolumeAccess {
  Denied denied = Denied::nothing;
  std::vector<uint64_t> exempt;
};

struct IoRequest;

/// What one thread knows of a volume. No other thread touches it, so the plain path takes no lock; changes come as messages
/// that every thread acknowledges by letting go of a barrier.
struct VolumeView {
  std::shared_ptr<Volume> volume;
  IoStats* stats = nullptr;
  uint64_t sizeBytes = 0;
  bool readOnly = false;
  bool writeCache = true;        // WCE; without it every write is followed by fdatasync
  bool descriptorSense = false;  // D_SENSE
  VolumeAccess access;
  /// What commands get that need the medium, where it cannot be used.
  std::optional<Outcome> notReady;
  bool frozen = false;   // by the control plane
  bool locked = false;   // by a COMPARE AND WRITE of some thread
  bool stopped = false;  // either: the plain path asks once
  bool closed = false;
  uint32_t inFlight = 0;
  IoRequest* held = nullptr;  // back while it is frozen, in order
  IoRequest* heldTail = nullptr;
  IoRequest* flushing = nullptr;   // answered by the fdatasync that runs
  IoRequest* flushNext = nullptr;  // came after it began: the next one is theirs
  std::vector<BarrierRef> whenIdle;
};
using VolumeViewRef = std::shared_ptr<VolumeView>;

}  // namespace rackboot
