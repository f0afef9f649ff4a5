// Finds out, on a thread of its own, what volumes share with the files that they were cloned from (FIEMAP). A volume is served from
// the start; its map comes into force when it is there.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "events.h"
#include "storage/volume.h"

namespace rackboot {

/// Extents that are asked for of one file, 24 octets each; what lies beyond is not shared.
constexpr size_t kMostExtents = 1 << 20;

class MapBuilder {
 public:
  explicit MapBuilder(EventSink& sink) : sink_(sink) {}
  ~MapBuilder();
  MapBuilder(const MapBuilder&) = delete;
  MapBuilder& operator=(const MapBuilder&) = delete;

  /// Tells with a `volumeMapped` event.
  void add(VolumeId id, const std::shared_ptr<SharedBlocks>& blocks);
  /// A volume is being closed: `done` is held until its file is not looked at any more.
  void leave(const SharedBlocks* blocks, const BarrierRef& done);
  void stop();

 private:
  struct Job {
    VolumeId id;
    std::weak_ptr<SharedBlocks> blocks;
  };
  void run();
  void build(VolumeId id, SharedBlocks& blocks);

  EventSink& sink_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  const SharedBlocks* current_ = nullptr;
  std::vector<BarrierRef> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rackboot
