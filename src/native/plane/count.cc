// What the threads of a plane have counted, added up for whoever asks.
#include "plane/plane.h"

namespace rackboot {
namespace {

IoCount sum(const std::vector<IoStats>& threads) {
  IoCount out;
  for (const IoStats& stats : threads) {
    out.readOps += stats.readOps.get();
    out.readBytes += stats.readBytes.get();
    out.borrowedBytes += stats.borrowedBytes.get();
    out.writeOps += stats.writeOps.get();
    out.writeBytes += stats.writeBytes.get();
    out.flushOps += stats.flushOps.get();
    out.errors += stats.errors.get();
    out.readErrors += stats.readErrors.get();
    // In this order: a command that ends in between must not make the depth negative.
    const uint64_t ended = stats.ended.get();
    out.queueDepth += stats.begun.get() - ended;
    for (size_t operation = 0; operation < kBooked; ++operation) {
      const Latencies& from = stats.latencies[operation];
      LatencyCount& into = out.latencies[operation];
      into.totalNs += from.totalNs();
      for (size_t i = 0; i < kLatencyBuckets; ++i) into.buckets[i] += from.bucket(i);
    }
  }
  return out;
}

}  // namespace

std::shared_ptr<Account> Plane::account(const std::string& name) {
  std::shared_ptr<Account>& account = accounts_[name];
  if (!account) account = std::make_shared<Account>(order_.size());
  return account;
}

PlaneCount Plane::count() const {
  PlaneCount out;
  for (const Worker* worker : order_) {
    const WorkerStats& stats = worker->stats();
    const RingStats& ring = worker->ringStats();
    out.connections += worker->load.load(std::memory_order_relaxed);
    out.bytesReceived += stats.bytesReceived.get();
    out.bytesSent += stats.bytesSent.get();
    out.commandsPassedUp += stats.sessions.commandsPassedUp.get();
    out.protocolErrors += stats.sessions.protocolErrors.get();
    out.bufferBytes += stats.bufferBytes.get();
    out.payloadBytesCopied += stats.payloadBytesCopied.get();
    out.ringEntries += ring.entries.get();
    out.ringCompletions += ring.completions.get();
    out.ringSpins += ring.spins.get();
    out.ringSleeps += ring.sleeps.get();
  }
  for (const auto& [id, volume] : volumes_) out.volumes.push_back({id, sum(volume->stats)});
  for (const auto& [name, account] : accounts_) out.accounts.push_back({name, sum(*account)});
  return out;
}

}  // namespace rackboot
