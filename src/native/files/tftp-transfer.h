// One TFTP download as a state machine without I/O: the rules of src/tftp/transfer.ts, which has their reasons, for downloads that
// JavaScript is too slow for. test/native/tftp-transfer.test.ts has both decide on the same inputs and compares what they say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rackboot {

struct TransferPlan {
  uint64_t sizeBytes = 0;
  uint32_t blksize = 512;
  uint32_t windowsize = 1;
  /// Longest wait before something is sent again.
  double maxWaitMs = 0;
};

enum class TransferEnd : uint8_t { finished, probed, failed };

/// What the machine has its owner do.
class TransferOrders {
 public:
  virtual void sendOack() = 0;
  /// These blocks in this order; they replace whatever of an earlier order has not left yet, unless they continue it.
  virtual void sendBlocks(uint64_t first, uint64_t count) = 0;
  /// The one timer, counted from when the last ordered packet has left.
  virtual void setTimer(double afterMs) = 0;
  virtual void ended(TransferEnd outcome, const std::string& reason, bool tellClient) = 0;

 protected:
  ~TransferOrders() = default;
};

class TftpTransfer {
 public:
  TftpTransfer(const TransferPlan& plan, TransferOrders& orders) : plan_(plan), orders_(orders) {}

  void begin(bool offersOptions, double nowMs);
  void acknowledged(uint16_t block, double nowMs);
  void clientError(uint16_t code, const std::string& message);
  void timedOut();

  bool isOver() const { return phase_ == Phase::ended; }
  /// Our side gave it up: nothing is ordered any more.
  void giveUp() { phase_ = Phase::ended; }
  /// Blocks that the client is known to have.
  uint64_t acked() const { return acked_; }
  uint64_t totalBlocks() const { return plan_.sizeBytes / plan_.blksize + 1; }
  const TransferPlan& plan() const { return plan_; }

 private:
  enum class Phase : uint8_t { offered, sending, ended };
  enum class Flight : uint8_t { steady, wentBack, probed, holed, timedOut };
  /// RFC 6298, 2; milliseconds.
  struct RoundTrip {
    double smoothMs;
    double deviationMs;
  };

  uint64_t windowEnd() const;
  void nextWindow(double nowMs);
  void resend(Flight flight);
  void fillWindow();
  void repeated();
  void holed();
  void probe();
  void measure(double nowMs);
  void wait();
  void recoveryWait();
  void end(TransferEnd outcome, const std::string& reason = {}, bool tellClient = false);

  const TransferPlan plan_;
  TransferOrders& orders_;
  Phase phase_ = Phase::offered;
  Flight flight_ = Flight::steady;
  uint64_t acked_ = 0;  // numbers that never roll over; only the wire has 16 bits
  uint64_t sent_ = 0;
  uint32_t timeouts_ = 0;  // since the client last got further
  std::optional<RoundTrip> roundTrip_;
  std::optional<double> departedMs_;  // nothing once something was sent twice (Karn's rule)
};

}  // namespace rackboot
