// Reads, writes and flushes of volumes on one thread: at once where the page cache allows it, through the ring otherwise.
#pragma once

#include <unordered_map>
#include <vector>

#include "events.h"
#include "plane/ring.h"
#include "storage/io.h"

namespace rackboot {

class VolumeIo final : public BlockIo {
 public:
  VolumeIo(Ring& ring, std::vector<Event>& events, uint32_t thread) : ring_(ring), events_(events), thread_(thread) {}

  bool submit(IoRequest& request) override;
  void completed(IoRequest& request, int result) override;
  void cancelHeld(const IoOwner& owner) override;

  // Control, as messages from the owner; the barrier goes when nothing is in flight.
  void add(const std::shared_ptr<Volume>& volume);
  VolumeViewRef view(VolumeId id) const;
  void freeze(VolumeId id, const BarrierRef& whenIdle);
  void thaw(VolumeId id);
  void close(VolumeId id, const BarrierRef& whenIdle);
  /// Takes it offline for good.
  void fail(Volume& volume, const std::string& reason);

 private:
  bool start(IoRequest& request);
  bool tryInline(IoRequest& request);
  bool advance(IoRequest& request, int64_t result);
  void queue(IoRequest& request);
  bool flush(IoRequest& request);
  void flushDone(IoRequest& leader, int result);
  void finish(IoRequest& request);
  std::vector<BarrierRef> settle(VolumeView& view);
  void full(Volume& volume);
  void hold(IoRequest& request);

  Ring& ring_;
  std::vector<Event>& events_;
  const uint32_t thread_;
  std::unordered_map<VolumeId, VolumeViewRef> views_;
};

}  // namespace rackboot
