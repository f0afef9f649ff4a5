#include "files/file-sender.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

namespace rackboot {
namespace {

/// Where the next packet comes sooner than this, looking for it is quicker than to sleep: of the time between two blocks in lock step
/// half is the wake-up, of a processor that had gone to sleep as well.
constexpr double kSpinMs = 0.1;
/// A wait that counts as no longer than this, so that the average finds back when the packets come fast again.
constexpr double kLongestGapMs = 1;
/// How often the machine's load is looked at while files are sent.
constexpr double kAskMs = 20;
constexpr int kReadyAtOnce = 64;
/// The bell's key among deliveries, which count from 1.
constexpr uint32_t kBell = 0;

uint32_t interest(const Delivery& delivery) {
  return delivery.wantsToWrite() ? EPOLLOUT : EPOLLIN;
}

}  // namespace

FileSender::~FileSender() {
  if (bell_ >= 0) close(bell_);
  if (epoll_ >= 0) close(epoll_);
}

int FileSender::start(std::string& message) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = kBell;
  if (epoll_ < 0 || bell_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &event) != 0) {
    message = std::string("files cannot be sent by a thread of their own: ") + strerror(errno);
    return errno;
  }
  thread_ = std::thread([this] { run(); });
  return 0;
}

int FileSender::tftp(uint32_t id, const TftpSpec& spec, std::string& message) {
  std::unique_ptr<TftpDownload> download;
  const int error = TftpDownload::open(id, round_, spec, download, message);
  // std::function copies; what it owns does not.
  if (error == 0) post([this, raw = download.release()] { add(std::unique_ptr<Delivery>(raw)); });
  return error;
}

int FileSender::stream(uint32_t id, const StreamSpec& spec, std::string& message) {
  std::unique_ptr<StreamBody> body;
  const int error = StreamBody::open(id, round_, spec, body, message);
  if (error == 0) post([this, raw = body.release()] { add(std::unique_ptr<Delivery>(raw)); });
  return error;
}

void FileSender::abort(uint32_t id, std::string reason) {
  post([this, id, reason = std::move(reason)] {
    const auto found = deliveries_.find(id);
    if (found == deliveries_.end()) return;
    found->second.delivery->abort(reason);
    settle(*found->second.delivery);
  });
}

void FileSender::stop() {
  stopping_ = true;
  eventfd_write(bell_, 1);
  if (thread_.joinable()) thread_.join();
  // What was ordered and not begun owns sockets.
  takeOrders();
  deliveries_.clear();
}

void FileSender::post(Order order) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = orders_.empty();
    orders_.push_back(std::move(order));
  }
  if (first) eventfd_write(bell_, 1);
}

void FileSender::takeOrders() {
  std::vector<Order> orders;
  {
    const std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (const Order& order : orders) order();
}

void FileSender::run() {
  while (!stopping_) {
    wait();
    takeOrders();
    timers();
    sweep();
    if (!round_.events.empty()) sink_.deliver(std::exchange(round_.events, {}));
  }
}

/// Until something is ready or a deadline has come; first looks for as long as the last waits took, if that was short.
void FileSender::wait() {
  const double begunMs = monotonicMs();
  round_.nowMs = begunMs;
  bool handled = false;
  if (gapMs_ <= kSpinMs && mayLook(begunMs)) {
    do handled = look();
    while (!handled && round_.nowMs - begunMs < kSpinMs && round_.nowMs < earliestMs_);
  }
  if (!handled) {
    const double left = std::ceil(std::max(earliestMs_ - round_.nowMs, 0.0));
    poll(std::isfinite(left) ? static_cast<int>(left) : -1);
  }
  // What was done since the wait is not part of it.
  gapMs_ = (7 * gapMs_ + std::min(waitedToMs_ - begunMs, kLongestGapMs)) / 8;
}

/// Looking takes a processor that has nothing else to do, or it keeps the very client waiting whose packet it looks for.
bool FileSender::mayLook(double nowMs) {
  if (nowMs - askedMs_ < kAskMs) return mayLook_;
  askedMs_ = nowMs;
  std::array<char, 128> text{};
  const int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  const ssize_t length = fd < 0 ? -1 : read(fd, text.data(), text.size() - 1);
  if (fd >= 0) close(fd);
  // proc_loadavg(5): three averages, then what is to run now, this thread included, by what there is.
  unsigned runnable = 0;
  const bool known = length > 0 && sscanf(text.data(), "%*s %*s %*s %u", &runnable) == 1;
  mayLook_ = known && runnable <= std::thread::hardware_concurrency();
  return mayLook_;
}

/// Serves what is ready, without waiting. Of a single download its own socket says it in one call less.
bool FileSender::look() {
  if (deliveries_.size() != 1 || deliveries_.begin()->second.toWrite) return poll(0) > 0;
  Delivery& only = *deliveries_.begin()->second.delivery;
  waitedToMs_ = round_.nowMs = monotonicMs();
  if (only.isOver() || !only.ready()) return false;
  settle(only);
  return true;
}

/// Serves what is ready. Returns how many were.
int FileSender::poll(int timeoutMs) {
  std::array<epoll_event, kReadyAtOnce> events;
  const int count = epoll_wait(epoll_, events.data(), kReadyAtOnce, timeoutMs);
  waitedToMs_ = round_.nowMs = monotonicMs();
  for (int i = 0; i < count; ++i) {
    if (events[static_cast<size_t>(i)].data.u32 == kBell) {
      eventfd_t rings = 0;
      eventfd_read(bell_, &rings);
      continue;
    }
    const auto found = deliveries_.find(events[static_cast<size_t>(i)].data.u32);
    if (found == deliveries_.end() || found->second.delivery->isOver()) continue;
    found->second.delivery->ready();
    settle(*found->second.delivery);
  }
  return std::max(count, 0);
}

void FileSender::add(std::unique_ptr<Delivery> delivery) {
  const uint32_t id = delivery->id();
  Delivery& added = *deliveries_.insert_or_assign(id, Watched{std::move(delivery), false}).first->second.delivery;
  round_.isAlone = deliveries_.size() == 1;
  added.begin();
  Watched& watched = deliveries_.at(id);
  watched.toWrite = added.wantsToWrite();
  epoll_event event{};
  event.events = interest(added);
  event.data.u32 = id;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, added.socket(), &event);
  settle(added);
}

/// After every turn of a delivery: its deadline and what it waits for may have changed, or it has ended.
void FileSender::settle(Delivery& delivery) {
  if (delivery.isOver()) {
    over_.push_back(delivery.id());
    return;
  }
  earliestMs_ = std::min(earliestMs_, delivery.deadlineMs());
  Watched& watched = deliveries_.at(delivery.id());
  if (watched.toWrite == delivery.wantsToWrite()) return;
  watched.toWrite = delivery.wantsToWrite();
  epoll_event event{};
  event.events = interest(delivery);
  event.data.u32 = delivery.id();
  epoll_ctl(epoll_, EPOLL_CTL_MOD, delivery.socket(), &event);
}

void FileSender::timers() {
  if (round_.nowMs < earliestMs_) return;
  earliestMs_ = Delivery::kNever;
  for (auto& [id, watched] : deliveries_) {
    Delivery& delivery = *watched.delivery;
    if (delivery.isOver()) continue;
    if (delivery.deadlineMs() <= round_.nowMs) delivery.timeout();
    settle(delivery);
  }
}

/// Closing a socket takes it out of the epoll set only where nobody has it duplicated.
void FileSender::sweep() {
  for (const uint32_t id : over_) {
    const auto found = deliveries_.find(id);
    if (found == deliveries_.end()) continue;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, found->second.delivery->socket(), nullptr);
    deliveries_.erase(found);
  }
  round_.isAlone = deliveries_.size() == 1;
  over_.clear();
}

}  // namespace rackboot
