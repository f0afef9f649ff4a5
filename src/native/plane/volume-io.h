// Reads, writes, flushes and holes of volumes on one thread: at once where the page cache allows it, through the ring otherwise.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "events.h"
#include "plane/ring.h"
#include "storage/io.h"

namespace rackboot {

class VolumeIo;

/// The threads of the plane, for what a volume needs of all of them.
class Threads {
 public:
  using VolumeMessage = std::function<void(VolumeIo&)>;
  virtual void on(uint32_t thread, VolumeMessage message) = 0;
  virtual void everywhere(VolumeMessage message) = 0;
  /// On a thread that may wait.
  virtual void aside(std::function<void()> work) = 0;
  /// False: the plane stops. Otherwise no thread ends before endLock().
  virtual bool beginLock() = 0;
  virtual void endLock() = 0;

 protected:
  ~Threads() = default;
};

class VolumeIo final : public BlockIo {
 public:
  VolumeIo(Ring& ring, std::vector<Event>& events, Threads& threads, uint32_t thread)
      : ring_(ring), events_(events), threads_(threads), thread_(thread) {}

  bool submit(IoRequest& request) override;
  void completed(IoRequest& request, int result) override;
  void unlock(VolumeView& view) override;
  void cancelHeld(const IoOwner& owner) override;

  // Control, as messages from the owner; the barrier goes when nothing is in flight.
  void add(const std::shared_ptr<Volume>& volume);
  VolumeViewRef view(VolumeId id) const;
  void freeze(VolumeId id, const BarrierRef& whenIdle);
  void thaw(VolumeId id);
  void close(VolumeId id, const BarrierRef& whenIdle);
  /// Takes it offline for good.
  void fail(Volume& volume, const std::string& reason);
  bool lost(Volume& volume);

 private:
  // volume-lock.cc
  bool lock(IoRequest& request);
  void stopOthers(IoRequest& request);
  void mark(VolumeId id, const BarrierRef& whenIdle);

  bool start(IoRequest& request);
  void resume(VolumeView& view);
  bool tryInline(IoRequest& request);
  SharedBlocks::Source source(IoRequest& request) const;
  bool advance(IoRequest& request, int64_t result);
  void queue(IoRequest& request);
  void clone(CloneRequest& request);
  bool flush(IoRequest& request);
  void rangeDone(IoRequest& request, int result);
  void flushDone(IoRequest& leader, int result);
  void finish(IoRequest& request);
  std::vector<BarrierRef> settle(VolumeView& view);
  void full(Volume& volume);
  void hold(IoRequest& request);

  Ring& ring_;
  std::vector<Event>& events_;
  Threads& threads_;
  const uint32_t thread_;
  std::unordered_map<VolumeId, VolumeViewRef> views_;
};

}  // namespace rackboot
