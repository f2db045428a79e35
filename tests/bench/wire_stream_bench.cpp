// How fast, and in how much memory, does an encrypted stream with its content hash pass over loopback?
//
//   wire_stream_bench [--mib N] [--repeat N] [--store memory|made]
//
// Two members in one process, each with its own sockets, loop and pool, as two processes on one machine would be. "memory" sends
// one buffer into another; "made" makes the content up as it is read and throws it away as it is written, so that what is
// resident is what the stream itself needs.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "federation/wire_party.h"
#include "wire/interval_set.h"

namespace {

using namespace tomogrid;
using namespace tomogrid::wire;
using namespace tomogrid::wire::test;

// Content that is made up: eight bytes of each word are its position, mixed.
void make_up(std::uint64_t offset, std::span<std::uint8_t> into) {
  for (std::size_t i = 0; i < into.size();) {
    const std::uint64_t word = (offset + i) / 8;
    const std::uint64_t mixed = (word ^ word << 21) * 0x9e3779b97f4a7c15ULL;
    std::uint8_t bytes[8];
    std::memcpy(bytes, &mixed, 8);
    const std::size_t from = (offset + i) % 8, count = std::min<std::size_t>(8 - from, into.size() - i);
    std::memcpy(into.data() + i, bytes + from, count);
    i += count;
  }
}

class MadeSource final : public StreamSource {
 public:
  explicit MadeSource(std::uint64_t length) : length_(length) {}
  std::uint64_t length() const override { return length_; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    make_up(offset, into);
    return {};
  }

 private:
  std::uint64_t length_;
};
class ForgettingSink final : public StreamSink {
 public:
  std::vector<Range> stored() const override { return {}; }
  Result<void> write(std::uint64_t, ByteView) override { return {}; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    make_up(offset, into);
    return {};
  }
  Result<void> complete() override { return {}; }
};
class BufferSource final : public StreamSource {
 public:
  explicit BufferSource(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t length() const override { return bytes_.size(); }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
  }

 private:
  ByteView bytes_;
};
class BufferSink final : public StreamSink {
 public:
  explicit BufferSink(std::span<std::uint8_t> bytes) : bytes_(bytes) {}
  std::vector<Range> stored() const override { return {}; }
  Result<void> write(std::uint64_t offset, ByteView content) override {
    std::memcpy(bytes_.data() + offset, content.data(), content.size());
    return {};
  }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
  }
  Result<void> complete() override { return {}; }

 private:
  std::span<std::uint8_t> bytes_;
};

class Store final : public StreamStore {
 public:
  explicit Store(std::uint64_t length, std::span<std::uint8_t> buffer) : length_(length), buffer_(buffer) {}
  Result<std::unique_ptr<StreamSink>> open_sink(const JobKey&, const StreamKey&, std::uint64_t) override {
    if (buffer_.empty()) return std::unique_ptr<StreamSink>(std::make_unique<ForgettingSink>());
    return std::unique_ptr<StreamSink>(std::make_unique<BufferSink>(buffer_));
  }
  Result<std::unique_ptr<StreamSource>> open_source(const JobKey&, const StreamKey&) override {
    if (buffer_.empty()) return std::unique_ptr<StreamSource>(std::make_unique<MadeSource>(length_));
    return std::unique_ptr<StreamSource>(std::make_unique<BufferSource>(buffer_));
  }

 private:
  std::uint64_t length_;
  std::span<std::uint8_t> buffer_;
};

std::uint64_t status_kib(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != field) continue;
    std::uint64_t kib = 0;
    status >> kib;
    return kib;
  }
  return 0;
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 1024;
  int repeat = 3;
  bool memory = true;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i], value = argv[i + 1];
    if (option == "--mib") mib = std::stoull(value);
    if (option == "--repeat") repeat = std::stoi(value);
    if (option == "--store") memory = value == "memory";
  }
  const std::uint64_t length = mib << 20;
  std::vector<std::uint8_t> from(memory ? length : 0), to(memory ? length : 0);
  if (memory) make_up(0, from);

  certs::Authority authority("bench");
  Store sending(length, from), receiving(length, to);
  Party node(authority, "node", certs::Role::Node, {}, 0ms, nullptr, &receiving);
  Party client(authority, "client", certs::Role::Clinician, {}, 0ms, nullptr, &sending);
  node.react([](const Event& event) -> Effects {
    const auto* received = std::get_if<Received>(&event);
    const auto* offer = received != nullptr ? std::get_if<StreamOffer>(&received->message) : nullptr;
    if (offer == nullptr) return {};
    return {ReceiveStream{received->peer.id, offer->number, offer->key, {received->peer.member, offer->key.job}, offer->length}};
  });
  node.listen();
  node.start();
  client.start();
  const Peer peer = client.connect(node.target(certs::Role::Node));
  for (int i = 0; i < repeat; ++i) {
    const StreamKey key = key_named("stream", static_cast<std::uint32_t>(i));
    const double processor = processor_seconds();
    const auto begun = std::chrono::steady_clock::now();
    client.perform({SendStream{peer.id, key, {}}});
    const auto received = node.wait<StreamReceived>([&](const StreamReceived& event) { return event.key == key; }, 600s);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (!received) return 1;
    if (memory && from != to) return 1;
    const double gigabytes = static_cast<double>(length) * 1e-9;
    std::printf("{\"stream_mib\":%lu,\"store\":\"%s\",\"mib_per_s\":%.0f,\"cpu_s_per_gb\":%.2f,\"peak_resident_mib\":%lu,\"anonymous_mib\":%lu}\n",
                static_cast<unsigned long>(mib), memory ? "memory" : "made", static_cast<double>(mib) / seconds,
                (processor_seconds() - processor) / gigabytes, static_cast<unsigned long>(status_kib("VmHWM:") / 1024),
                static_cast<unsigned long>(status_kib("RssAnon:") / 1024));
    std::fflush(stdout);
  }
  return 0;
}
