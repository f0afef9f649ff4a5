#include "plane/worker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "plane/plane.h"

namespace rackboot {
namespace {

/// A thread that has been idle for this long gives its empty slabs back.
constexpr uint64_t kTrimNs = 1'000'000'000;
/// By so much before the thread that runs JavaScript, whose collections and configurations no disk should wait for, and yet it gets its
/// share where there is but one core. Where that takes a right that this process lacks, all are alike.
constexpr int kNicer = 5;

/// What sched_setattr(2) takes; C libraries before glibc 2.41 do not declare it.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtimeNs = 0, deadlineNs = 0, periodNs = 0;
};
/// The shortest that Linux takes (6.12; earlier ones know no such thing): who asks for little at a time is let in at once when it wakes.
constexpr uint64_t kSliceNs = 100'000;

/// Niceness alone is not enough: who runs is let finish its slice, a millisecond or more, before who woke and is due earlier.
void goFirst() {
  const auto self = static_cast<id_t>(gettid());
  setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) - kNicer);
  SchedulingAttributes wanted;
  wanted.nice = getpriority(PRIO_PROCESS, self);
  wanted.runtimeNs = kSliceNs;
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

/// Deletes itself when it is done.
struct FlushOp final : Completion {
  Worker* worker;
  std::shared_ptr<Volume> volume;
  std::function<void(int)> done;
  void completed(int result, bool) override {
    worker->removeGuest();
    done(result < 0 ? -result : 0);
    delete this;
  }
};

}  // namespace

bool Audience::includes(ConnectionId id) const {
  if (only.empty()) return id != except;
  return std::find(only.begin(), only.end(), id) != only.end();
}

Worker::Worker(Plane& plane, uint32_t index, uint64_t poolBytes, uint64_t spinNs)
    : plane_(plane), index_(index), pool_(poolBytes), ring_(spinNs), volumes_(ring_, events_, *this, index) {}

Worker::~Worker() = default;

StartResult Worker::start() {
  std::promise<StartResult> started;
  auto result = started.get_future();
  // Signals are for the thread that runs JavaScript.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, &started] { run(started); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), ("rackboot-io-" + std::to_string(index_)).c_str());
  return result.get();
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::run(std::promise<StartResult>& started) {
  goFirst();
  StartResult result;
  result.error = ring_.open(result.message);
  if (result.error == 0) result.capabilities = ring_.capabilities();
  const bool usable = result.error == 0;
  started.set_value(std::move(result));
  if (!usable) return;
  armBell();
  while (!stopping_ || !connections_.empty() || guests_ > 0 || plane_.locks() > 0) {
    const bool wait = ready_.empty();
    ring_.submit(wait, wait ? waitNs() : 0);
    const bool any = ring_.deliver();
    while (ring_.deliver()) {
    }
    takeTurns();
    fireDeadlines();
    feedStarving();
    if (!any && wait && ready_.empty()) pool_.trim();
    stats_.bufferBytes.set(pool_.residentBytes());
    if (!events_.empty()) plane_.sink().deliver(std::exchange(events_, {}));
  }
  std::vector<Event> last = std::exchange(events_, {});
  last.push_back(Event(EventType::stopped));
  plane_.sink().deliver(std::move(last));
}

uint64_t Worker::waitNs() const {
  uint64_t wait = pool_.hasEmptySlabs() ? kTrimNs : 0;
  if (deadlines_.empty()) return wait;
  const uint64_t now = ring_.roundNs();
  const uint64_t next = deadlines_.begin()->first;
  const uint64_t until = next > now ? next - now : 1;
  return wait == 0 ? until : std::min(wait, until);
}

void Worker::armBell() {
  io_uring_sqe* sqe = ring_.entry(&bell_);
  io_uring_prep_read(sqe, mailbox_.bell(), &bell_.count, sizeof bell_.count, 0);
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(&bell_));
}

void Worker::ring(Bell&) {
  armBell();
  for (Message& message : mailbox_.take()) {
    message(*this);
    message = nullptr;  // what it holds goes now, not when all are done
  }
}

/// One turn for each that was ready when the round began; who wants more comes behind those that became ready meanwhile.
void Worker::takeTurns() {
  std::deque<Connection*> round;
  round.swap(ready_);
  for (Connection* connection : round) {
    connection->ready = false;
    connection->turn();
    if (connection->gone) forget(*connection);
  }
}

void Worker::forget(Connection& connection) {
  setDeadline(connection, 0);
  std::erase(starving_, &connection);
  std::erase(ready_, &connection);
  connection.reportClosed();
  connections_.erase(connection.id());
  load.fetch_sub(1, std::memory_order_relaxed);
}

void Worker::fireDeadlines() {
  if (deadlines_.empty()) return;
  const uint64_t now = ring_.roundNs();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Connection* connection = deadlines_.begin()->second;
    setDeadline(*connection, 0);
    connection->timeout();
  }
}

void Worker::setDeadline(Connection& connection, uint64_t atNs) {
  if (connection.deadlineNs != 0) deadlines_.erase({connection.deadlineNs, &connection});
  connection.deadlineNs = atNs;
  if (atNs != 0) deadlines_.insert({atNs, &connection});
}

/// Buffers came back: whoever waits for one asks again, the longest waiting first.
void Worker::feedStarving() {
  if (starving_.empty() || returnsSeen_ == pool_.returns()) return;
  returnsSeen_ = pool_.returns();
  for (Connection* connection : std::exchange(starving_, {})) ready(*connection);
}

void Worker::starve(Connection& connection) {
  if (std::find(starving_.begin(), starving_.end(), &connection) == starving_.end()) starving_.push_back(&connection);
}

void Worker::ready(Connection& connection) {
  if (connection.ready) return;
  connection.ready = true;
  ready_.push_back(&connection);
}

Connection* Worker::find(ConnectionId id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Worker::adopt(ConnectionId id, int fd, uint32_t portal) {
  auto connection = std::make_unique<Connection>(*this, id, fd);
  Connection& adopted = *connection;
  connections_.emplace(id, std::move(connection));
  adopted.open(portal);
  if (stopping_) adopted.shutdown();
}

void Worker::resetEverywhere(const std::vector<VolumeId>& volumes, ResetKind kind, ConnectionId origin, const BarrierRef& barrier) {
  for (Worker* worker : plane_.workers()) {
    if (worker == this) continue;
    worker->post([volumes, kind, origin, barrier](Worker& there) { there.reset(volumes, kind, origin, barrier); });
  }
  // Here at once: commands that follow in the same stream are not affected.
  reset(volumes, kind, origin, barrier);
}

void Worker::reset(const std::vector<VolumeId>& volumes, ResetKind kind, ConnectionId origin, const BarrierRef& barrier) {
  for (auto& [id, connection] : connections_) {
    Session* session = connection->session();
    if (session == nullptr) continue;
    for (const VolumeId volume : volumes) {
      if (!session->sees(volume)) continue;
      session->abortVolume(volume, barrier);
      connection->wake();
      if (kind == ResetKind::clearTaskSet && id != origin) session->raiseAttention(volume, kCommandsCleared);
      if (kind != ResetKind::clearTaskSet) session->raiseAttention(volume, kDeviceReset);
      if (kind == ResetKind::coldReset && id != origin) connection->drop("target cold reset");
    }
  }
}

void Worker::raiseAttention(VolumeId volume, const Sense& sense, const Audience& audience) {
  for (auto& [id, connection] : connections_) {
    if (audience.includes(id) && connection->session() != nullptr) connection->session()->raiseAttention(volume, sense);
  }
}

void Worker::flush(std::shared_ptr<Volume> volume, std::function<void(int)> done) {
  auto* op = new FlushOp;
  op->worker = this;
  op->volume = std::move(volume);
  op->done = std::move(done);
  addGuest();
  io_uring_sqe* sqe = ring_.entry(op);
  io_uring_prep_fsync(sqe, op->volume->fd, IORING_FSYNC_DATASYNC);
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(op));
}

void Worker::on(uint32_t thread, VolumeMessage message) {
  plane_.workers()[thread]->post([message = std::move(message)](Worker& worker) { message(worker.volumes()); });
}

void Worker::everywhere(VolumeMessage message) {
  for (Worker* worker : plane_.workers()) {
    worker->post([message](Worker& there) { message(there.volumes()); });
  }
}

void Worker::aside(std::function<void()> work) {
  plane_.aside(std::move(work));
}

bool Worker::beginLock() {
  return plane_.beginLock();
}

void Worker::endLock() {
  plane_.endLock();
}

void Worker::stop(bool hurry) {
  stopping_ = true;
  for (auto& [id, connection] : connections_) {
    connection->shutdown();
    if (hurry) connection->hurry();
  }
}

}  // namespace rackboot
