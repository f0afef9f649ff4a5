// Filling and copying ranges of volumes for commands that TypeScript steers (SANITIZE, EXTENDED COPY): the octets stay on this side.
#pragma once

#include <functional>
#include <vector>

#include "plane/worker.h"
#include "storage/io.h"

namespace rackboot {

/// What one call may do at most, so that a freeze does not wait for more.
constexpr uint64_t kRangeWorkBytes = 64 << 20;

/// A range and what becomes of it. With a source volume it is copied; otherwise `pattern` is repeated over it, counted from the
/// volume's first octet; without either it reads as zeroes and its storage is given back where the volume is thin. A copy to a thin volume
/// shares the blocks of the source where the file system can; another one has storage of its own, as was promised for it.
struct RangeJob {
  VolumeId volume = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  VolumeId source = 0;
  uint64_t sourceOffset = 0;
  std::vector<uint8_t> pattern;
};

/// Does a job on one thread, chunk by chunk, and tells its error (an errno, 0 for none). It deletes itself when it is done.
class RangeWork final : public IoOwner {
 public:
  using Done = std::function<void(int)>;
  static void begin(Worker& worker, const RangeJob& job, Done done);
  void ioDone(IoRequest& request) override;

 private:
  RangeWork(Worker& worker, const RangeJob& job, Done done);
  void next();
  void prepare();
  bool prepareClone();
  void prepareFill();
  bool settled();
  void fillPattern(uint32_t length);
  void end(int error);

  Worker& worker_;
  const RangeJob job_;
  Done done_;
  VolumeViewRef to_;
  VolumeViewRef from_;
  std::vector<uint8_t> chunk_;
  CloneRequest request_;
  IoKind method_ = IoKind::punch;
  bool clones_ = false;
  uint64_t copyUntil_ = 0;  // octets
  uint64_t at_ = 0;         // octets done
  bool fetched_ = false;
};

}  // namespace rackboot
