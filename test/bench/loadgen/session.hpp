#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "histogram.hpp"
#include "portal.hpp"
#include "workload.hpp"

namespace loadgen {

// What was measured; threads have one each, merged at the end.
struct Measured {
  std::uint64_t operations = 0;
  std::uint64_t bytes = 0;
  Histogram latency;
};

// What happened in the whole run, measured time or not.
struct Totals {
  std::uint64_t operations = 0;
  std::uint64_t retries = 0;
  std::uint64_t unitAttentions = 0;
  std::uint64_t verifiedBytes = 0;
  std::uint64_t mismatches = 0;
  std::uint64_t r2ts = 0;
  std::uint64_t nops = 0;
  std::vector<std::string> complaints;
};

// The full-feature phase of one session: octets in, octets out, and the workload in between. Does no I/O itself.
class Session {
 public:
  Session(const Options& options, const Negotiated& negotiated, std::uint32_t lun, std::uint32_t blockBytes, Workload workload,
          Totals& totals, Measured& measured);

  // Octets that arrived, in order, in pieces of any size. Throws RunError when the target breaks the protocol.
  void received(std::span<const std::uint8_t> octets, std::uint64_t nowNs, bool measuring);

  enum class Phase { kLoad, kReadBack, kDrain };
  // Issues what depth, command window and `budget` allow; takes what it issues from the budget.
  void issue(Phase phase, std::uint64_t nowNs, std::uint64_t& budget);
  void startReadBack() { workload_.startReadBack(); }

  // What is to be sent next, at most `most` pieces; sent() says how much of it went. One send at a time.
  std::span<iovec> sendable(std::size_t most);
  void sent(std::size_t octets);

  std::uint32_t inFlight() const { return inFlight_; }
  bool readBackDone() const { return readBackDone_; }
  // When the oldest command in flight was issued; 0 when there is none.
  std::uint64_t oldestNs() const;
  const Negotiated& numbers() const { return sn_; }

 private:
  enum class Stage : std::uint8_t { kIdle, kTransfer, kFlush };
  struct Task {
    Stage stage = Stage::kIdle;
    Operation operation;
    std::uint64_t startNs = 0;
    std::uint32_t transferred = 0;
    std::uint32_t attempts = 0;
    // Verify mode: what is written, or what must arrive.
    std::unique_ptr<std::uint8_t[]> contents;
  };
  struct OutPdu {
    std::uint8_t header[pdu::kHeaderBytes + 4];
    std::uint8_t trailer[4];
    std::uint8_t headerBytes;
    std::uint8_t trailerBytes;
    std::uint32_t length;
    const std::uint8_t* data;
  };

  void start(std::uint32_t index, const Operation& operation, std::uint64_t nowNs);
  void sendCommand(std::uint32_t index);
  void sendFlush(std::uint32_t index);
  void sendDataOut(std::uint32_t index, std::uint32_t ttt, std::uint32_t offset, std::uint32_t length);
  void queue(pdu::Header& header, const std::uint8_t* data, std::uint32_t length);
  const std::uint8_t* payloadOf(const Task& task) const;

  void headerArrived();
  void dataArrived(std::span<const std::uint8_t> octets);
  void pduArrived(std::uint64_t nowNs, bool measuring);
  void checkDigest();
  void readyToTransfer();
  void answerNop();
  void ended(std::uint32_t index, std::uint8_t status, std::uint64_t nowNs, bool measuring);
  void failed(std::uint32_t index, std::uint8_t status);
  Task& taskOf(const char* what);
  std::uint32_t indexOf() const { return pdu::get32(&header_[pdu::kItt]) & 0xffff; }

  const Options& options_;
  Negotiated sn_;
  std::uint32_t lun_;
  std::uint32_t blockBytes_;
  Workload workload_;
  Totals& totals_;
  Measured& measured_;

  std::vector<Task> tasks_;
  std::vector<std::uint32_t> idle_;
  // Tasks whose next command waits for the command window: flushes, and what is tried again.
  std::vector<std::uint32_t> waiting_;
  std::uint32_t inFlight_ = 0;
  bool readBackDone_ = false;

  // Output: what a send has is left alone while new PDUs gather beside it.
  std::vector<OutPdu> gathering_;
  std::vector<OutPdu> sending_;
  std::vector<iovec> pieces_;
  std::size_t piecesDone_ = 0;

  // Input: where the parser is within a PDU.
  std::uint8_t header_[pdu::kHeaderBytes]{};
  std::uint32_t headerHave_ = 0;
  std::uint32_t skipLeft_ = 0;
  std::uint32_t dataLength_ = 0;
  std::uint32_t dataDone_ = 0;
  std::uint32_t trailerLeft_ = 0;
  std::uint32_t crc_ = 0;
  std::uint8_t trailer_[8]{};
  std::vector<std::uint8_t> gathered_;
};

}  // namespace loadgen
