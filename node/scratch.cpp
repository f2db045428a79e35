#include "node/scratch.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "base/file.h"
#include "certs/content_hash.h"
#include "wire/interval_set.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

Error storage_error(const char* what, const fs::path& path) {
  return {ErrorCode::Storage,
          std::string("cannot ") + what + " " + path.string() + ": " + std::generic_category().message(errno)};
}

class Descriptor final {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<void> write_all(int fd, ByteView content, std::uint64_t offset, const fs::path& path) {
  while (!content.empty()) {
    const ssize_t n = ::pwrite(fd, content.data(), content.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error("write", path);
    content = content.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<void> read_all(int fd, std::span<std::uint8_t> into, std::uint64_t offset, const fs::path& path) {
  while (!into.empty()) {
    const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error("read", path);
    if (n == 0) return Error{ErrorCode::Storage, path.string() + " is shorter than it should be"};
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

std::uint64_t occupied(const fs::path& folder) {
  std::uint64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && it != end; it.increment(error)) {
    struct stat status {};
    if (::lstat(it->path().c_str(), &status) == 0) total += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return total;
}

bool machine_has_swap() {
  std::ifstream swaps("/proc/swaps");
  std::string line;
  std::getline(swaps, line);  // heading
  return static_cast<bool>(std::getline(swaps, line));
}

// A [begin, end) record of stored/NAME.
using RangeRecord = std::array<std::uint64_t, 2>;

// In a default scratch folder: the path of the home it belongs to.
constexpr const char* kHomeNote = "home";

// Records after which a file of ranges is written anew, merged.
constexpr std::size_t kRecordsMax = 4096;

}  // namespace

// One input being filled: its file, and what of it is there. The record of a range is appended after its bytes, so a
// crash between the two only sends them again.
struct Scratch::InputState {
  fs::path data_path, ranges_path;
  Descriptor data, ranges;
  std::uint64_t length;
  mutable std::mutex mutex;
  wire::IntervalSet stored;  // guarded by mutex
  std::size_t records = 0;   // guarded by mutex

  InputState(fs::path data_file, fs::path ranges_file, std::uint64_t bytes)
      : data_path(std::move(data_file)),
        ranges_path(std::move(ranges_file)),
        data(::open(data_path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)),
        ranges(::open(ranges_path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)),
        length(bytes) {}

  Result<void> load() {
    struct stat status {};
    if (data.get() < 0 || ::fstat(data.get(), &status) != 0) return storage_error("open", data_path);
    if (ranges.get() < 0) return storage_error("open", ranges_path);
    if (static_cast<std::uint64_t>(status.st_size) != length) {
      return Error{ErrorCode::Conflict, data_path.string() + " has another length than the stream"};
    }
    auto content = read_file(ranges_path, mebibytes(16));
    if (!content) return content.error();
    for (std::size_t at = 0; at + sizeof(RangeRecord) <= content->size(); at += sizeof(RangeRecord)) {
      RangeRecord record;
      std::memcpy(record.data(), content->data() + at, sizeof record);
      if (record[0] < record[1] && record[1] <= length) stored.add(record[0], record[1]);
      ++records;
    }
    return {};
  }

  Result<void> append(const RangeRecord& record) {
    if (::write(ranges.get(), record.data(), sizeof record) != static_cast<ssize_t>(sizeof record)) {
      return storage_error("write", ranges_path);
    }
    ++records;
    return {};
  }

  // Many small ranges that have merged since: one record each. Written whole before the old ones are cut away would
  // need a second file; losing the list only means receiving the bytes again, so it is simply rewritten.
  Result<void> compact() {
    if (::ftruncate(ranges.get(), 0) != 0) return storage_error("write", ranges_path);
    records = 0;
    for (const auto& [begin, end] : stored.ranges()) {
      if (auto written = append({begin, end}); !written) return written;
    }
    return {};
  }

  Result<void> note(std::uint64_t begin, std::uint64_t end) {
    const std::lock_guard lock(mutex);
    stored.add(begin, end);
    if (auto written = append({begin, end}); !written) return written;
    if (records > kRecordsMax && records > 2 * stored.pieces()) return compact();
    return {};
  }
};

namespace {

class InputSink final : public wire::StreamSink {
 public:
  explicit InputSink(std::shared_ptr<Scratch::InputState> state) : state_(std::move(state)) {}

  std::vector<std::pair<std::uint64_t, std::uint64_t>> stored() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->stored.ranges();
  }
  Result<void> write(std::uint64_t offset, ByteView content) override {
    if (offset > state_->length || content.size() > state_->length - offset) {
      return Error{ErrorCode::BadInput, "bytes beyond the end of the stream"};
    }
    {
      // What is there stays: a worker may be reading it, and a receipt may bind it.
      const std::lock_guard lock(state_->mutex);
      if (state_->stored.contains(offset, offset + content.size())) return {};
    }
    if (auto written = write_all(state_->data.get(), content, offset, state_->data_path); !written) return written;
    return state_->note(offset, offset + content.size());
  }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    return read_all(state_->data.get(), into, offset, state_->data_path);
  }
  Result<void> complete() override {
    if (::fsync(state_->data.get()) != 0) return storage_error("sync", state_->data_path);
    const std::lock_guard lock(state_->mutex);
    return state_->compact();
  }
  void forget() override {
    const std::lock_guard lock(state_->mutex);
    state_->stored = {};
    (void)state_->compact();  // not written: its bytes are hashed again when they are resumed from
  }

 private:
  std::shared_ptr<Scratch::InputState> state_;
};

class FileSource final : public wire::StreamSource {
 public:
  FileSource(Descriptor file, fs::path path, std::uint64_t length)
      : file_(std::move(file)), path_(std::move(path)), length_(length) {}
  std::uint64_t length() const override { return length_; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    return read_all(file_.get(), into, offset, path_);
  }

 private:
  Descriptor file_;
  fs::path path_;
  std::uint64_t length_;
};

}  // namespace

fs::path default_scratch(const std::string& member_name) {
  return fs::path("/dev/shm") / ("tomogrid-" + member_name + "-" + std::to_string(::getuid()));
}

void claim_scratch(const fs::path& root, const fs::path& home) {
  write_file(root / kHomeNote, bytes_of(fs::absolute(home).string()), FileMode::Private).or_throw();
}

std::size_t sweep_abandoned_scratch(const fs::path& parent) {
  std::size_t removed = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    struct stat status {};
    if (entry.path().filename().string().rfind("tomogrid-", 0) != 0) continue;
    if (::lstat(entry.path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid())
      continue;
    const auto home = read_file(entry.path() / kHomeNote, Bytes(4096));
    if (!home || home->empty() || fs::exists(fs::path(std::string(text_of(*home))), error) || error) continue;
    fs::remove_all(entry.path(), error);
    if (!error) ++removed;
  }
  return removed;
}

Scratch::Scratch(ScratchOptions options) : options_(std::move(options)) {
  make_private_folder(options_.root);
  struct statfs system {};
  if (::statfs(options_.root.c_str(), &system) != 0) throw Failure(storage_error("examine", options_.root));
  struct stat owner {};
  if (::stat(options_.root.c_str(), &owner) != 0 || owner.st_uid != ::geteuid()) {
    throw Failure(ErrorCode::Refused, "scratch folder " + options_.root.string() +
                                          " belongs to another user; give --scratch another folder");
  }
  if (options_.allow_disk) return;
  const bool memory = system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
  if (!memory) {
    throw Failure(
        ErrorCode::Refused,
        "scratch folder " + options_.root.string() +
            " is on a disk, and image data must not be; use a folder under /dev/shm, or say --scratch-on-disk");
  }
  if (system.f_type == TMPFS_MAGIC && machine_has_swap()) {
    throw Failure(ErrorCode::Refused,
                  "scratch folder " + options_.root.string() +
                      " is memory that this machine may swap to a disk; run swapoff -a, or say --scratch-on-disk");
  }
}

Scratch::~Scratch() {  // when no job is in it: no litter in /dev/shm
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.root, error)) {
    if (entry.path().filename() != kHomeNote) return;
  }
  fs::remove_all(options_.root, error);
}

fs::path Scratch::folder(const wire::JobKey& job) const {
  return options_.root / (certs::to_string(job.client) + "-" + job::to_string(job.job));
}

Result<void> Scratch::prepare(const wire::PrepareScratch& effect) {
  const fs::path home = folder(effect.job);
  try {
    make_private_folder(home);
    for (const char* part : {"in", "out", "stored"}) make_private_folder(home / part);
  } catch (const Failure& failure) {
    return failure.error();
  }
  for (const job::StreamFact& input : effect.inputs) {
    const fs::path path = home / "in" / input.name;
    const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0 || ::ftruncate(file.get(), static_cast<off_t>(input.length.count())) != 0)
      return storage_error("create", path);
  }
  return {};
}

Result<void> Scratch::wipe(const wire::JobKey& job) {
  std::error_code error;
  fs::remove_all(folder(job), error);
  for (auto it = open_inputs_.begin(); it != open_inputs_.end();) {
    it = it->first.first == job ? open_inputs_.erase(it) : std::next(it);
  }
  if (error) return Error{ErrorCode::Storage, "cannot wipe " + folder(job).string() + ": " + error.message()};
  return {};
}

std::shared_ptr<Scratch::InputState> Scratch::input_state(const wire::JobKey& job, const std::string& name,
                                                          std::uint64_t length) {
  std::weak_ptr<InputState>& slot = open_inputs_[{job, name}];
  auto state = slot.lock();
  if (!state || state->length != length) {
    state = std::make_shared<InputState>(folder(job) / "in" / name, folder(job) / "stored" / name, length);
    std::move(state->load()).or_throw();
    slot = state;
  }
  return state;
}

Result<std::unique_ptr<wire::StreamSink>> Scratch::open_sink(const wire::JobKey& job, const wire::StreamKey& key,
                                                             std::uint64_t length) {
  if (!job::is_name(key.name)) return Error{ErrorCode::BadInput, "not a stream's name"};
  try {
    return std::unique_ptr<wire::StreamSink>(std::make_unique<InputSink>(input_state(job, key.name, length)));
  } catch (const Failure& failure) {
    return failure.error();
  }
}

Result<std::unique_ptr<wire::StreamSource>> Scratch::open_source(const wire::JobKey& job, const wire::StreamKey& key) {
  if (!job::is_name(key.name)) return Error{ErrorCode::BadInput, "not a stream's name"};
  const fs::path path = folder(job) / "out" / key.name;
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return storage_error("open", path);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::BadInput, path.string() + " is not a regular file"};
  return std::unique_ptr<wire::StreamSource>(
      std::make_unique<FileSource>(std::move(file), path, static_cast<std::uint64_t>(status.st_size)));
}

std::vector<ScratchFact> Scratch::inspect() const {
  std::vector<ScratchFact> facts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.root, error)) {
    std::string name = entry.path().filename().string();
    if (const std::size_t dash = name.find('-'); dash != std::string::npos) name[dash] = '/';
    const auto key = parse_row_key(name);
    if (!key || !entry.is_directory()) continue;
    ScratchFact fact;
    fact.key = *key;
    for (const auto& file : fs::directory_iterator(entry.path() / "in", error)) {
      if (!file.is_regular_file(error)) continue;
      InputState state(file.path(), entry.path() / "stored" / file.path().filename(), file.file_size(error));
      if (error || !state.load()) continue;
      ScratchFact::Input input{file.path().filename().string(), state.length, state.stored.ranges(), std::nullopt};
      if (state.stored.size() == state.length) {
        if (auto hash = certs::hash_file(file.path())) input.root = hash->root;
      }
      fact.inputs.push_back(std::move(input));
    }
    for (const auto& file : fs::directory_iterator(entry.path() / "out", error)) {
      if (!file.is_regular_file(error)) continue;
      if (auto hash = certs::hash_file(file.path())) {
        fact.outputs.push_back({file.path().filename().string(), Bytes(hash->length), hash->root});
      }
    }
    facts.push_back(std::move(fact));
  }
  return facts;
}

Bytes Scratch::used() const {
  return Bytes(occupied(options_.root));
}

Bytes Scratch::capacity() const {
  struct statfs system {};
  if (::statfs(options_.root.c_str(), &system) != 0) return Bytes();
  const std::uint64_t block = static_cast<std::uint64_t>(system.f_bsize);
  const std::uint64_t left = static_cast<std::uint64_t>(system.f_bavail) * block + occupied(options_.root);
  const std::uint64_t quota =
      options_.quota.count() != 0 ? options_.quota.count() : static_cast<std::uint64_t>(system.f_blocks) * block / 2;
  return Bytes(std::min(left, quota));
}

}  // namespace tomogrid::node
