#include "plane/plane.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plane/listener.h"
#include "plane/range-work.h"

namespace rackboot {
namespace {

/// Never reused, not even by another plane of the same process. The thread stands in the low part.
std::atomic<uint64_t> nextConnection{1};

/// A descriptor on its way to another thread, which may stop before it takes it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

Plane::~Plane() {
  join();
  // What still lies in a mailbox may hold a barrier that posts to another one.
  for (int round = 0; round < 2; ++round) {
    for (const auto& worker : workers_) worker->discardMail();
  }
}

int Plane::start(uint32_t threads, uint64_t memoryBytes, uint64_t spinNs, const PingLimits& pings, std::string& message) {
  pings_ = pings;
  threads = std::clamp(threads, 1u, kMostThreads);
  for (uint32_t i = 0; i < threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i, memoryBytes / threads, spinNs));
    order_.push_back(workers_.back().get());
  }
  for (const auto& worker : workers_) {
    StartResult result = worker->start();
    if (result.error != 0) {
      message = std::move(result.message);
      stop(true);
      join();
      return result.error;
    }
    capabilities_ = std::move(result.capabilities);
  }
  return 0;
}

void Plane::broadcast(const Message& message) {
  for (Worker* worker : order_) worker->post(message);
}

void Plane::settle(uint64_t request, int error, std::string detail) {
  Event event(EventType::settled);
  event.request = request;
  event.error = error;
  event.detail = std::move(detail);
  std::vector<Event> events;
  events.push_back(std::move(event));
  sink_.deliver(std::move(events));
}

int Plane::listen(uint32_t portal, const std::string& address, uint16_t port, std::string& message) {
  if (listeners_.contains(portal)) {
    message = "portal " + std::to_string(portal) + " is open already";
    return -EEXIST;
  }
  int error = 0;
  Listener* listener = Listener::open(portal, address, port, error, message);
  if (listener == nullptr) return -error;
  listeners_.emplace(portal, listener);
  const int bound = listener->port();
  workers_[0]->post([listener](Worker& worker) { listener->start(worker); });
  return bound;
}

void Plane::unlisten(uint32_t portal) {
  const auto found = listeners_.find(portal);
  if (found == listeners_.end()) return;
  found->second->stop();
  listeners_.erase(found);
}

void Plane::accepted(int fd, uint32_t portal) {
  auto owned = std::make_shared<Descriptor>(fd);
  uint32_t total = 0;
  size_t least = 0;
  for (size_t i = 0; i < order_.size(); ++i) {
    const uint32_t load = order_[i]->load.load(std::memory_order_relaxed);
    total += load;
    if (load < order_[least]->load.load(std::memory_order_relaxed)) least = i;
  }
  if (total >= kMostConnections) return;
  const ConnectionId id = nextConnection.fetch_add(1) * kMostThreads + least;
  order_[least]->load.fetch_add(1, std::memory_order_relaxed);
  order_[least]->post([id, owned, portal](Worker& worker) { worker.adopt(id, owned->release(), portal); });
}

VolumeId Plane::openVolume(const VolumeSpec& spec, int& error, std::string& message) {
  const VolumeId id = nextVolume_++;
  std::shared_ptr<Volume> volume = rackboot::openVolume(id, spec, static_cast<uint32_t>(order_.size()), error, message);
  if (!volume) return 0;
  shareBlocks(*volume);
  volumes_.emplace(id, volume);
  broadcast([volume](Worker& worker) { worker.volumes().add(volume); });
  return id;
}

/// A file that is open already is shared as it was then: whoever writes to it through the one volume must be seen through the other.
void Plane::shareBlocks(Volume& volume) {
  std::weak_ptr<SharedBlocks>& known = blocks_[volume.file];
  if (std::shared_ptr<SharedBlocks> blocks = known.lock()) {
    volume.blocks = std::move(blocks);
    return;
  }
  known = volume.blocks;
  volume.blocks->prepare(volume.fd, volume.file, volume.spec.origins);
  if (volume.blocks->building()) maps_.add(volume.id, volume.blocks);
  if (blocks_.size() > 2 * volumes_.size() + 16) std::erase_if(blocks_, [](const auto& entry) { return entry.second.expired(); });
}

void Plane::withdrawOrigin(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return;
  for (const auto& [file, known] : blocks_) {
    if (const std::shared_ptr<SharedBlocks> blocks = known.lock()) blocks->withdraw({status.st_dev, status.st_ino});
  }
}

std::shared_ptr<Volume> Plane::volume(VolumeId id, uint64_t request) {
  const auto found = volumes_.find(id);
  if (found != volumes_.end()) return found->second;
  settle(request, ENOENT, "volume " + std::to_string(id) + " is not open");
  return nullptr;
}

void Plane::closeVolume(VolumeId id, uint64_t request) {
  std::shared_ptr<Volume> volume = this->volume(id, request);
  if (!volume) return;
  volumes_.erase(id);
  auto barrier = std::make_shared<Barrier>([this, volume, request] {
    volume->closeFile();
    settle(request, 0, {});
  });
  maps_.leave(volume->blocks.get(), barrier);
  broadcast([id, barrier](Worker& worker) { worker.volumes().close(id, barrier); });
}

void Plane::updateVolume(VolumeId id, const VolumeChange& change, uint64_t request) {
  const std::shared_ptr<Volume> volume = this->volume(id, request);
  if (!volume) return;
  const int64_t bytes = volume->fileBytes();
  if (change.sizeBytes && (bytes < 0 || *change.sizeBytes > static_cast<uint64_t>(bytes))) {
    return settle(request, EINVAL, volume->spec.path + " is smaller than " + std::to_string(*change.sizeBytes) + " octets. Grow it first");
  }
  auto barrier = std::make_shared<Barrier>([this, request, volume, flushes = change.writeCache == false] {
    if (!flushes) return settle(request, 0, {});
    // SBC-3, 6.5.5: without a cache, what was acknowledged is on the disk.
    flushVolume(volume, request);
  });
  broadcast([id, change, barrier](Worker& worker) {
    const VolumeViewRef view = worker.volumes().view(id);
    if (!view) return;
    if (change.sizeBytes) view->sizeBytes = *change.sizeBytes;
    if (change.readOnly) view->readOnly = *change.readOnly || view->volume->spec.readOnly;
    if (change.writeCache) view->writeCache = *change.writeCache;
    if (change.notReady) view->notReady = *change.notReady;
    if (change.descriptorSense) view->descriptorSense = *change.descriptorSense;
  });
}

void Plane::setAccess(VolumeId id, const VolumeAccess& access, uint64_t request) {
  if (!volume(id, request)) return;
  auto barrier = std::make_shared<Barrier>([this, request] { settle(request, 0, {}); });
  broadcast([id, access, barrier](Worker& worker) {
    if (const VolumeViewRef view = worker.volumes().view(id)) view->access = access;
  });
}

void Plane::flush(VolumeId id, uint64_t request) {
  if (const std::shared_ptr<Volume> volume = this->volume(id, request)) flushVolume(volume, request);
}

/// From any thread.
void Plane::flushVolume(const std::shared_ptr<Volume>& volume, uint64_t request) {
  order_[0]->post([this, request, volume](Worker& worker) {
    worker.flush(volume, [this, &worker, request, volume](int error) {
      // After an earlier failure, a flush that succeeds means nothing.
      if (error == 0 && worker.volumes().lost(*volume)) error = EIO;
      const std::string failure = error == 0 ? std::string() : std::string("fdatasync failed: ") + strerror(error);
      if (error != 0) worker.volumes().fail(*volume, failure);
      settle(request, error, failure);
    });
  });
}

void Plane::work(const RangeJob& job, uint64_t request) {
  if (!volume(job.volume, request)) return;
  // Jobs of one volume share a thread, those of several spread.
  order_[job.volume % order_.size()]->post([this, job, request](Worker& worker) {
    RangeWork::begin(worker, job,
                     [this, request](int error) { settle(request, error, error == 0 ? std::string() : std::string(strerror(error))); });
  });
}

void Plane::abortTasks(VolumeId id, const std::vector<ConnectionId>& connections, uint64_t request) {
  if (!volume(id, request)) return;
  auto barrier = std::make_shared<Barrier>([this, request] { settle(request, 0, {}); });
  for (const ConnectionId connection : connections) {
    withConnection(connection, [id, barrier](Connection& there) {
      if (there.session() == nullptr) return;
      there.session()->abortVolume(id, barrier);
      there.wake();
    });
  }
}

void Plane::freeze(VolumeId id, uint64_t request) {
  const std::shared_ptr<Volume> volume = this->volume(id, request);
  if (!volume) return;
  auto flushed = [this, request](int error) {
    settle(request, error, error == 0 ? std::string() : std::string("fdatasync failed: ") + strerror(error));
  };
  auto barrier = std::make_shared<Barrier>([this, volume, flushed] {
    workers_[0]->post([this, volume, flushed](Worker& worker) {
      worker.flush(volume, [this, &worker, volume, flushed](int error) {
        if (error == 0 && worker.volumes().lost(*volume)) error = EIO;
        if (error != 0) worker.volumes().fail(*volume, std::string("fdatasync failed: ") + strerror(error));
        // Nobody thaws what was never frozen for them.
        if (error != 0) thaw(volume->id);
        flushed(error);
      });
    });
  });
  broadcast([id, barrier](Worker& worker) { worker.volumes().freeze(id, barrier); });
}

void Plane::thaw(VolumeId id) {
  broadcast([id](Worker& worker) { worker.volumes().thaw(id); });
}

void Plane::raiseAttention(VolumeId id, uint8_t asc, uint8_t ascq, const Audience& audience) {
  broadcast([id, asc, ascq, audience](Worker& worker) { worker.raiseAttention(id, {0x06, asc, ascq}, audience); });
}

void Plane::withConnection(ConnectionId id, std::function<void(Connection&)> action) {
  const size_t index = id % kMostThreads;
  if (index >= order_.size()) return;
  order_[index]->post([id, action = std::move(action)](Worker& worker) {
    if (Connection* connection = worker.find(id)) action(*connection);
  });
}

/// A thread ends when it is told to and there is no lock. Counting first and looking at `stopping_` second means that whoever
/// ends without having seen this lock was told after `stopping_` was set, so that this lock is refused.
bool Plane::beginLock() {
  locks_.fetch_add(1);
  if (!stopping_.load()) return true;
  locks_.fetch_sub(1);
  broadcast([](Worker&) {});
  return false;
}

void Plane::stop(bool hurry) {
  stopping_.store(true);
  for (const auto& [portal, listener] : listeners_) listener->stop();
  listeners_.clear();
  // A thread waits for nobody while a volume is frozen.
  for (const auto& [id, volume] : volumes_) thaw(id);
  broadcast([hurry](Worker& worker) { worker.stop(hurry); });
}

void Plane::join() {
  for (const auto& worker : workers_) worker->join();
  maps_.stop();
  aside_.stop();
}

}  // namespace rackboot
