#include "files/tftp-transfer.h"

#include <algorithm>
#include <cmath>

namespace rackboot {
namespace {

// The values of src/tftp/transfer.ts.
constexpr double kUnmeasuredWaitMs = 1000;
constexpr double kMinWaitMs = 5;
constexpr double kMaxFirstWaitMs = 200;
constexpr double kMinRecoveryMs = 2;
constexpr double kUnmeasuredRecoveryMs = 50;
constexpr uint32_t kMaxTimeouts = 16;
/// RFC 2347.
constexpr uint16_t kOptionNegotiation = 8;

}  // namespace

void TftpTransfer::begin(bool offersOptions, double nowMs) {
  departedMs_ = nowMs;
  if (offersOptions) {
    orders_.sendOack();
    return wait();
  }
  phase_ = Phase::sending;
  nextWindow(nowMs);
}

void TftpTransfer::acknowledged(uint16_t block, double nowMs) {
  if (phase_ == Phase::ended) return;
  if (phase_ == Phase::offered) {
    if (block != 0) return;
    measure(nowMs);
    phase_ = Phase::sending;
    timeouts_ = 0;
    return nextWindow(nowMs);
  }
  // The newest block sent that bears this number. What the window before had is at or below `acked_`.
  const auto behind = static_cast<uint16_t>(sent_ - block);
  if (behind > sent_ || sent_ - behind < acked_) return;
  const uint64_t upTo = sent_ - behind;
  if (upTo == acked_) return repeated();
  if (upTo == sent_ && upTo == totalBlocks()) {
    acked_ = upTo;
    return end(TransferEnd::finished);
  }
  measure(nowMs);
  acked_ = upTo;
  timeouts_ = 0;
  if (upTo == sent_) {
    flight_ = Flight::steady;
    return nextWindow(nowMs);
  }
  departedMs_.reset();
  switch (flight_) {
    case Flight::steady:
    case Flight::probed: return resend(Flight::wentBack);
    case Flight::wentBack:
    case Flight::holed: return holed();
    case Flight::timedOut: return fillWindow();
  }
}

void TftpTransfer::repeated() {
  if (plan_.windowsize > 1 && (flight_ == Flight::steady || flight_ == Flight::probed)) holed();
}

void TftpTransfer::holed() {
  flight_ = Flight::holed;
  departedMs_.reset();
  recoveryWait();
}

void TftpTransfer::probe() {
  flight_ = Flight::probed;
  departedMs_.reset();
  orders_.sendBlocks(sent_, 1);
  wait();
}

void TftpTransfer::nextWindow(double nowMs) {
  sent_ = windowEnd();
  departedMs_ = nowMs;
  orders_.sendBlocks(acked_ + 1, sent_ - acked_);
  wait();
}

void TftpTransfer::resend(Flight flight) {
  flight_ = flight;
  sent_ = windowEnd();
  departedMs_.reset();
  orders_.sendBlocks(acked_ + 1, sent_ - acked_);
  wait();
}

void TftpTransfer::fillWindow() {
  const uint64_t before = sent_;
  sent_ = std::max(windowEnd(), sent_);
  if (sent_ > before) orders_.sendBlocks(before + 1, sent_ - before);
  recoveryWait();
}

void TftpTransfer::timedOut() {
  if (phase_ == Phase::ended) return;
  const bool silent = (flight_ == Flight::steady || flight_ == Flight::wentBack) && sent_ > acked_ + 1;
  if (phase_ == Phase::sending && silent) return probe();
  ++timeouts_;
  if (timeouts_ > kMaxTimeouts) {
    if (phase_ == Phase::offered) return end(TransferEnd::failed, "the client never answered", true);
    const bool all = sent_ == totalBlocks();
    return end(TransferEnd::failed,
               "the client fell silent after block " + std::to_string(acked_) +
                   (all ? "; everything had been sent, so it may have the whole file" : ""),
               true);
  }
  if (phase_ == Phase::sending) return resend(Flight::timedOut);
  departedMs_.reset();
  orders_.sendOack();
  wait();
}

void TftpTransfer::clientError(uint16_t code, const std::string& message) {
  if (phase_ == Phase::ended) return;
  // EDK2 asks for the size, aborts with 8 and asks again without tsize; other ROMs abort with 0.
  if (phase_ == Phase::offered || (code == kOptionNegotiation && acked_ == 0)) return end(TransferEnd::probed);
  end(TransferEnd::failed, "the client gave up (error " + std::to_string(code) + (message.empty() ? "" : ": " + message) + ")", false);
}

uint64_t TftpTransfer::windowEnd() const {
  return std::min(acked_ + plan_.windowsize, totalBlocks());
}

void TftpTransfer::measure(double nowMs) {
  if (!departedMs_) return;
  const double sample = std::max(0.0, nowMs - *departedMs_);
  if (!roundTrip_) {
    roundTrip_ = RoundTrip{sample, sample / 2};
    return;
  }
  const double error = sample - roundTrip_->smoothMs;
  roundTrip_->deviationMs += (std::abs(error) - roundTrip_->deviationMs) / 4;
  roundTrip_->smoothMs += error / 8;
}

void TftpTransfer::wait() {
  const double first =
      roundTrip_ ? std::clamp(roundTrip_->smoothMs + 4 * roundTrip_->deviationMs, kMinWaitMs, kMaxFirstWaitMs) : kUnmeasuredWaitMs;
  orders_.setTimer(std::min(std::ldexp(first, static_cast<int>(timeouts_)), plan_.maxWaitMs));
}

void TftpTransfer::recoveryWait() {
  const double afterMs = roundTrip_ ? std::clamp(2 * roundTrip_->smoothMs, kMinRecoveryMs, kMaxFirstWaitMs) : kUnmeasuredRecoveryMs;
  orders_.setTimer(std::min(afterMs, plan_.maxWaitMs));
}

void TftpTransfer::end(TransferEnd outcome, const std::string& reason, bool tellClient) {
  phase_ = Phase::ended;
  orders_.ended(outcome, reason, tellClient);
}

}  // namespace rackboot
