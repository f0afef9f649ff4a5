#include "worker.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ring.hpp"

namespace loadgen {
namespace {

constexpr std::uint32_t kRingEntries = 2048;
constexpr std::size_t kMostPieces = 512;
constexpr std::uint64_t kTurnNs = 50'000'000;
constexpr std::uint64_t kCancelTag = ~std::uint64_t{0};
constexpr std::size_t kMinReceiveBytes = 64u << 10;
constexpr std::size_t kMaxReceiveBytes = 256u << 10;

}  // namespace

// A session, its socket and what the ring has of it.
struct Worker::Line {
  std::unique_ptr<Portal> portal;
  Session session;
  std::vector<std::uint8_t> input;
  msghdr message{};
  bool sending = false;
  bool receiving = false;
  bool touched = false;
};

Worker::Worker(const Options& options, const std::atomic<Moment>& moment, std::uint64_t operations)
    : options_(options), moment_(moment), budget_(operations) {}

Worker::~Worker() = default;

void Worker::add(std::unique_ptr<Portal> portal, std::uint32_t lun, std::uint32_t blockBytes, Workload workload) {
  const Negotiated& negotiated = portal->negotiated();
  // Many sessions share the cache: together their buffers stay about as large as it is.
  if (options_.once) budget_ += workload.slots();
  const std::size_t share = (std::size_t{4} << 20) / options_.sessions;
  lines_.push_back(std::make_unique<Line>(Line{std::move(portal),
                                               Session(options_, negotiated, lun, blockBytes, std::move(workload), totals_, measured_),
                                               std::vector<std::uint8_t>(std::clamp(share, kMinReceiveBytes, kMaxReceiveBytes))}));
}

void Worker::run() {
  try {
    // Made here, since a ring of a single issuer belongs to the thread that made it.
    ring_ = std::make_unique<Ring>(kRingEntries, options_.spinMicroseconds);
    loop();
  } catch (const std::exception& error) {
    error_ = error.what();
  }
  loadDone_.store(true, std::memory_order_release);
}

std::uint32_t Worker::inFlight() const {
  std::uint32_t sum = 0;
  for (const auto& line : lines_) sum += line->session.inFlight();
  return sum;
}

void Worker::loop() {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    startReceive(i, true);
    lines_[i]->touched = true;
    touched_.push_back(i);
  }
  if (options_.mode == Mode::kIdle) budget_ = 0;
  const bool endless = options_.mode == Mode::kIdle;
  while (moment_.load(std::memory_order_relaxed) != Moment::kStop && (endless || budget_ > 0 || inFlight() > 0))
    turn(Session::Phase::kLoad);
  loadDone_.store(true, std::memory_order_release);
  while (inFlight() > 0) turn(Session::Phase::kDrain);

  if (options_.verify && options_.mode != Mode::kRead) {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      lines_[i]->session.startReadBack();
      if (!std::exchange(lines_[i]->touched, true)) touched_.push_back(i);
    }
    const auto busy = [](const auto& line) { return !line->session.readBackDone() || line->session.inFlight() > 0; };
    while (std::any_of(lines_.begin(), lines_.end(), busy)) turn(Session::Phase::kReadBack);
  }

  // The blocking portal takes the sockets back to log out. A shut-down of our receive would lose the answer, so they are cancelled.
  closing_ = true;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    io_uring_sqe* sqe = ring_->request();
    io_uring_prep_cancel64(sqe, i << 1, 0);
    sqe->user_data = kCancelTag;
  }
  const auto held = [](const auto& line) { return line->receiving || line->sending; };
  for (const std::uint64_t until = nowNs() + 1'000'000'000; std::any_of(lines_.begin(), lines_.end(), held) && nowNs() < until;)
    turn(Session::Phase::kDrain);
  if (options_.raw) return;
  for (const auto& line : lines_) {
    line->portal->negotiated() = line->session.numbers();
    line->portal->logout();
  }
}

void Worker::turn(Session::Phase phase) {
  const std::uint64_t now = nowNs();
  for (const std::size_t index : touched_) {
    Line& line = *lines_[index];
    line.touched = false;
    line.session.issue(phase, now, budget_);
    if (!line.sending) flush(index);
  }
  touched_.clear();
  ring_->wait(kTurnNs);
  const std::uint64_t woken = nowNs();
  const unsigned seen = ring_->completions([&](std::uint64_t data, int result, unsigned flags) { completed(data, result, flags, woken); });
  if (seen == 0) watch(woken);
}

// Asked only when nothing happened for a turn: a stuck target is noticed, a fast one is not slowed.
void Worker::watch(std::uint64_t now) const {
  for (const auto& line : lines_) {
    const std::uint64_t oldest = line->session.oldestNs();
    if (oldest != 0 && now > oldest + static_cast<std::uint64_t>(options_.timeoutSeconds * 1e9))
      throw RunError("a command got no answer for " + std::to_string(static_cast<int>(options_.timeoutSeconds)) + " s");
  }
}

// user_data: the session's index, and one bit that tells sending (1) from receiving (0). Cancellations have all bits set.
void Worker::startReceive(std::size_t index, bool pollFirst) {
  Line& line = *lines_[index];
  io_uring_sqe* sqe = ring_->request();
  io_uring_prep_recv(sqe, line.portal->fd(), line.input.data(), line.input.size(), 0);
  if (pollFirst) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  sqe->user_data = index << 1;
  line.receiving = true;
}

void Worker::flush(std::size_t index) {
  Line& line = *lines_[index];
  const auto pieces = line.session.sendable(kMostPieces);
  if (pieces.empty()) return;
  line.message.msg_iov = pieces.data();
  line.message.msg_iovlen = pieces.size();
  io_uring_sqe* sqe = ring_->request();
  io_uring_prep_sendmsg(sqe, line.portal->fd(), &line.message, MSG_NOSIGNAL);
  sqe->user_data = index << 1 | 1;
  line.sending = true;
}

void Worker::completed(std::uint64_t data, int result, unsigned flags, std::uint64_t now) {
  const std::size_t index = data >> 1;
  if (index >= lines_.size()) return;
  Line& line = *lines_[index];
  const bool send = data & 1;
  (send ? line.sending : line.receiving) = false;
  if (closing_) return;
  if (result < 0 && result != -EINTR && result != -EAGAIN)
    throw RunError(std::string(send ? "send: " : "receive: ") + std::strerror(-result));
  if (!send && result == 0) throw RunError("the target closed the connection");
  if (send) {
    line.session.sent(static_cast<std::size_t>(std::max(result, 0)));
  } else {
    const bool measuring = moment_.load(std::memory_order_relaxed) == Moment::kMeasure;
    line.session.received({line.input.data(), static_cast<std::size_t>(std::max(result, 0))}, now, measuring);
    startReceive(index, !(flags & IORING_CQE_F_SOCK_NONEMPTY));
  }
  if (!std::exchange(line.touched, true)) touched_.push_back(index);
}

}  // namespace loadgen
