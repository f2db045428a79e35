#include "federation/wire_party.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "wire/interval_set.h"

namespace tomogrid::wire::test {

namespace {

class MemorySink final : public StreamSink {
 public:
  MemorySink(std::shared_ptr<MemoryStreams::Content> content, MemoryStreams& owner) : content_(std::move(content)), owner_(owner) {}
  std::vector<std::pair<std::uint64_t, std::uint64_t>> stored() const override {
    const std::lock_guard lock(owner_.mutex);
    IntervalSet set;
    for (const auto& [begin, end] : content_->stored) set.add(begin, end);
    return set.ranges();
  }
  Result<void> write(std::uint64_t offset, ByteView content) override {
    std::copy(content.begin(), content.end(), content_->bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    const std::lock_guard lock(owner_.mutex);
    content_->stored.emplace_back(offset, offset + content.size());
    content_->written += content.size();
    if (content_->written > owner_.fail_writes_after) return Error{ErrorCode::Storage, "no space left here"};
    return {};
  }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    std::copy_n(content_->bytes.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }
  Result<void> complete() override {
    const std::lock_guard lock(owner_.mutex);
    content_->complete = true;
    return {};
  }
  void forget() override {
    const std::lock_guard lock(owner_.mutex);
    content_->stored.clear();
    content_->forgotten = true;
  }

 private:
  std::shared_ptr<MemoryStreams::Content> content_;
  MemoryStreams& owner_;
};

class MemorySource final : public StreamSource {
 public:
  MemorySource(std::shared_ptr<MemoryStreams::Content> content, std::vector<Range> order)
      : content_(std::move(content)), order_(std::move(order)) {}
  std::uint64_t length() const override { return content_->bytes.size(); }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    std::copy_n(content_->bytes.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }
  std::vector<Range> order() const override { return order_; }

 private:
  std::shared_ptr<MemoryStreams::Content> content_;
  std::vector<Range> order_;
};

std::unique_ptr<certs::Identity> identity_of(certs::Authority& authority, const std::string& name, certs::Roles roles,
                                             std::unique_ptr<certs::SecretKeys> keys) {
  return certs::make_identity(authority, name, roles, wall_now(), std::move(keys)).or_throw();
}

}  // namespace

Result<std::unique_ptr<StreamSink>> MemoryStreams::open_sink(const JobKey&, const StreamKey& key, std::uint64_t length) {
  const std::lock_guard lock(mutex);
  auto& content = contents_[key];
  if (!content) content = std::make_shared<Content>();
  content->bytes.resize(length);
  return std::unique_ptr<StreamSink>(std::make_unique<MemorySink>(content, *this));
}

Result<std::unique_ptr<StreamSource>> MemoryStreams::open_source(const JobKey&, const StreamKey& key) {
  const std::lock_guard lock(mutex);
  const auto found = contents_.find(key);
  if (found == contents_.end()) return Error{ErrorCode::NotFound, "no stream " + key.name};
  return std::unique_ptr<StreamSource>(std::make_unique<MemorySource>(found->second, order));
}

std::shared_ptr<MemoryStreams::Content> MemoryStreams::put(const StreamKey& key, std::vector<std::uint8_t> bytes) {
  auto content = std::make_shared<Content>();
  content->bytes = std::move(bytes);
  const std::lock_guard lock(mutex);
  contents_[key] = content;
  return content;
}

std::shared_ptr<MemoryStreams::Content> MemoryStreams::get(const StreamKey& key) {
  const std::lock_guard lock(mutex);
  return contents_[key];
}

Party::Party(certs::Authority& authority, const std::string& name, certs::Roles roles, LoopOptions options,
             std::chrono::milliseconds clock_shift, std::unique_ptr<certs::SecretKeys> keys, StreamStore* store)
    : Party(identity_of(authority, name, roles, std::move(keys)), options, clock_shift, store) {}

Party::Party(std::unique_ptr<certs::Identity> identity, LoopOptions options, std::chrono::milliseconds clock_shift, StreamStore* store)
    : clock_(clock_shift),
      member_(std::move(identity), folder_.path() / "revocations.list"),
      loop_(member_, clock_, *this, Ports{nullptr, store != nullptr ? store : &streams, nullptr, &reports_}, options) {}

Party::~Party() { stop(); }

void Party::listen(bool bulk) { ports_ = loop_.listen("127.0.0.1", 0, 0, bulk); }

void Party::start() {
  thread_ = std::thread([this] { loop_.run(); });
}

void Party::stop() {
  if (!thread_.joinable()) return;
  loop_.stop();
  thread_.join();
}

Target Party::target(certs::Role role) const {
  Target target;
  target.host = "127.0.0.1";
  target.control_port = ports_.control_port;
  target.transport_key = member_.identity().transport_key();
  target.role = role;
  target.member = member_.identity().member();
  return target;
}

void Party::on_loop(const std::function<void(Loop&)>& work) {
  std::promise<void> done;
  loop_.post([&] {
    work(loop_);
    done.set_value();
  });
  done.get_future().wait();
}

void Party::perform(Effects effects) {
  on_loop([&](Loop& loop) { loop.perform(effects); });
}

Effects Party::handle(const Now&, const Event& event) {
  {
    const std::lock_guard lock(mutex_);
    if (!std::holds_alternative<RangeStored>(event)) events_.push_back(event);
  }
  changed_.notify_all();
  return react_ ? react_(event) : Effects{};
}

void Party::Reports::report(const Report& effect) {
  {
    const std::lock_guard lock(owner.mutex_);
    owner.reported_.push_back(effect);
    if (std::getenv("WIRE_TEST_TRACE") != nullptr) {
      std::string text = effect.event;
      for (const auto& [name, value] : effect.fields) text += " " + name + "=" + value;
      std::fprintf(stderr, "%s: %s\n", owner.member_.identity().name().c_str(), text.c_str());
    }
  }
  owner.changed_.notify_all();
}

std::optional<Report> Party::wait_report(const std::string& event, const std::string& text, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  std::optional<Report> found;
  changed_.wait_for(lock, limit, [&] {
    for (const Report& report : reported_) {
      if (report.event != event) continue;
      for (const auto& [name, value] : report.fields) {
        if (value.find(text) == std::string::npos) continue;
        found = report;
        return true;
      }
    }
    return false;
  });
  return found;
}

void Party::forget_events() {
  const std::lock_guard lock(mutex_);
  events_.clear();
}

Peer Party::connect(const Target& target) {
  const std::uint64_t dial = ++last_dial_;
  perform({Connect{dial, target}});
  const auto up = wait<PeerUp>([&](const PeerUp& event) { return event.peer.dial == dial; });
  if (up) return up->peer;
  const auto failed = wait<ConnectFailed>([&](const ConnectFailed& event) { return event.dial == dial; }, 0ms);
  throw std::runtime_error("no session: " + (failed ? failed->error.message : std::string("no answer at all")));
}

Error Party::connect_fails(const Target& target) {
  const std::uint64_t dial = ++last_dial_;
  perform({Connect{dial, target}});
  const auto failed = wait<ConnectFailed>([&](const ConnectFailed& event) { return event.dial == dial; });
  if (!failed) throw std::runtime_error("the connection did not fail");
  return failed->error;
}

std::vector<std::uint8_t> noise(std::size_t size, std::uint64_t seed) {
  std::vector<std::uint8_t> bytes(size);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (std::uint8_t& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<std::uint8_t>(state >> 32);
  }
  return bytes;
}

}  // namespace tomogrid::wire::test
