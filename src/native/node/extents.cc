#include "node/extents.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "node/convert.h"
#include "system/extents.h"

namespace rackboot {
namespace {

/// Extents, own octets, shared octets; -1 extents where the file cannot be measured.
constexpr size_t kNumbersPerFile = 3;

class Measurement : public Napi::AsyncWorker {
 public:
  Measurement(Napi::Env env, std::vector<std::string> paths)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), paths_(std::move(paths)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    numbers_.reserve(paths_.size() * kNumbersPerFile);
    for (const std::string& path : paths_) {
      ExtentFacts facts;
      const bool known = measureExtents(path, facts) == 0;
      numbers_.push_back(known ? static_cast<double>(facts.extents) : -1);
      numbers_.push_back(static_cast<double>(facts.ownBytes));
      numbers_.push_back(static_cast<double>(facts.sharedBytes));
    }
  }

  void OnOK() override {
    Napi::Float64Array out = Napi::Float64Array::New(Env(), numbers_.size());
    std::copy(numbers_.begin(), numbers_.end(), out.Data());
    deferred_.Resolve(out);
  }

 private:
  Napi::Promise::Deferred deferred_;
  const std::vector<std::string> paths_;
  std::vector<double> numbers_;
};

Napi::Value measureExtentsValue(const Napi::CallbackInfo& info) {
  const Napi::Array values = info[0].As<Napi::Array>();
  std::vector<std::string> paths;
  paths.reserve(values.Length());
  for (uint32_t i = 0; i < values.Length(); ++i) paths.push_back(values.Get(i).ToString().Utf8Value());
  auto* measurement = new Measurement(info.Env(), std::move(paths));
  const Napi::Promise promise = measurement->promise();
  measurement->Queue();
  return promise;
}

class DataRuns : public Napi::AsyncWorker {
 public:
  DataRuns(Napi::Env env, std::string path, uint64_t from, uint32_t most)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), path_(std::move(path)), from_(from), most_(most) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { error_ = -dataRuns(path_, from_, most_, runs_); }

  void OnOK() override {
    if (error_ != 0) return deferred_.Reject(systemError(Env(), error_, path_ + ": " + strerror(error_)).Value());
    Napi::Float64Array out = Napi::Float64Array::New(Env(), runs_.size() * 2);
    for (size_t i = 0; i < runs_.size(); ++i) {
      out[2 * i] = static_cast<double>(runs_[i].first);
      out[2 * i + 1] = static_cast<double>(runs_[i].second);
    }
    deferred_.Resolve(out);
  }

 private:
  Napi::Promise::Deferred deferred_;
  const std::string path_;
  const uint64_t from_;
  const uint32_t most_;
  std::vector<std::pair<uint64_t, uint64_t>> runs_;
  int error_ = 0;
};

Napi::Value dataRunsValue(const Napi::CallbackInfo& info) {
  auto* runs = new DataRuns(info.Env(), info[0].ToString().Utf8Value(), static_cast<uint64_t>(info[1].ToNumber().Int64Value()),
                            info[2].ToNumber().Uint32Value());
  const Napi::Promise promise = runs->promise();
  runs->Queue();
  return promise;
}

Napi::Value dataRangeValue(const Napi::CallbackInfo& info) {
  uint64_t start = 0, end = 0;
  const auto from = static_cast<uint64_t>(info[1].ToNumber().Int64Value());
  const int error = -dataRange(info[0].ToNumber().Int32Value(), from, start, end);
  if (error == ENXIO) return info.Env().Undefined();
  if (error != 0) {
    systemError(info.Env(), error, std::string("data cannot be told from holes: ") + strerror(error)).ThrowAsJavaScriptException();
    return {};
  }
  Napi::Array out = Napi::Array::New(info.Env(), 2);
  out.Set(0u, Napi::Number::New(info.Env(), static_cast<double>(start)));
  out.Set(1u, Napi::Number::New(info.Env(), static_cast<double>(end)));
  return out;
}

Napi::Value exchangePathsValue(const Napi::CallbackInfo& info) {
  const std::string left = info[0].ToString().Utf8Value();
  const std::string right = info[1].ToString().Utf8Value();
  const int error = -exchangePaths(left, right);
  if (error != 0)
    systemError(info.Env(), error, left + " and " + right + " cannot change places: " + strerror(error)).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value setCopyOnWriteHintValue(const Napi::CallbackInfo& info) {
  const int error = setCopyOnWriteHint(info[0].ToString().Utf8Value(), info[1].ToNumber().Uint32Value());
  return Napi::Boolean::New(info.Env(), error == 0);
}

}  // namespace

void exportExtents(Napi::Env env, Napi::Object exports) {
  exports.Set("measureExtents", Napi::Function::New(env, measureExtentsValue));
  exports.Set("dataRange", Napi::Function::New(env, dataRangeValue));
  exports.Set("dataRuns", Napi::Function::New(env, dataRunsValue));
  exports.Set("exchangePaths", Napi::Function::New(env, exchangePathsValue));
  exports.Set("setCopyOnWriteHint", Napi::Function::New(env, setCopyOnWriteHintValue));
}

}  // namespace rackboot
