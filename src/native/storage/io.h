// One transfer between a buffer and a volume, and who carries it out.
#pragma once

#include <cerrno>
#include <cstdint>

#include "completion.h"
#include "storage/volume.h"

namespace rackboot {

enum class IoKind : uint8_t {
  read,
  write,
  flush,
  punch,     // gives storage back; the range reads as zeroes
  zero,      // the range reads as zeroes and keeps, or gets, its storage
  clone,     // of a CloneRequest: the range shares the blocks of another file from then on, which is as good as a copy
  prefetch,  // a hint; never fails
  lock,      // done when nothing else of the volume is in flight on any thread; until unlock() only `exclusive` requests go
};

struct IoRequest;

/// Whoever asked. Called on the thread that asked, never from within submit().
class IoOwner {
 public:
  virtual void ioDone(IoRequest& request) = 0;

 protected:
  ~IoOwner() = default;
};

/// Carries requests out: the plane's threads with their rings, a table of bytes in fuzzing.
class BlockIo {
 public:
  /// True: done already, with the outcome in `error`. False: the owner hears of it.
  virtual bool submit(IoRequest& request) = 0;
  virtual void completed(IoRequest& request, int result) = 0;
  /// Ends what a request of kind `lock` began.
  virtual void unlock(VolumeView& view) = 0;
  /// Ends what `owner` has waiting on frozen volumes and does not want any more, with ECANCELED.
  virtual void cancelHeld(const IoOwner& owner) = 0;

 protected:
  ~BlockIo() = default;
};

/// `error` values that are no errno of the file system: the volume is offline or closed.
constexpr int kVolumeFailed = ENOTRECOVERABLE;
constexpr int kVolumeClosed = ENODEV;

struct IoRequest : Completion {
  BlockIo* io = nullptr;
  IoOwner* owner = nullptr;
  VolumeView* view = nullptr;
  IoKind kind = IoKind::read;
  bool exclusive = false;  // of whoever holds the volume's lock
  bool borrowed = false;   // the read that is under way is of an origin of the volume
  bool durable = false;    // a write that is on stable storage when it is done
  bool unwanted = false;   // it need not begin any more
  uint8_t* data = nullptr;
  uint32_t length = 0;
  uint32_t done = 0;
  uint64_t offset = 0;  // in the file, octets
  int error = 0;        // errno; 0: all of `length` was transferred
  IoRequest* nextHeld = nullptr;

  void completed(int result, bool) override { io->completed(*this, result); }
};

/// Where the blocks come from. A file system that cannot share them, or not these, answers with an errno, and nothing has happened.
struct CloneRequest : IoRequest {
  VolumeView* from = nullptr;
  uint64_t sourceOffset = 0;
};

}  // namespace rackboot
