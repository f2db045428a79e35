#include "node/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <sstream>
#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "certs/content_hash.h"
#include "node/guard.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kQueuedToWorkerMax = 8 * 1024 * 1024;
constexpr std::uint64_t kStackAndHeapSlack = 256ULL
                                             << 20;     // beside a job's memory: program, libraries' data, hash tables
constexpr std::uint64_t kPerThreadSlack = 16ULL << 20;  // a thread's stack and its share of malloc's arenas
constexpr std::uint64_t kFileSlack = 64ULL << 20;       // a forecast of output sizes may be a little short
constexpr std::chrono::milliseconds kFlushAgain{20};

class Descriptor final {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

std::string reason() {
  return std::generic_category().message(errno);
}

struct Pipe {
  Descriptor read, write;
};

// Above all numbers that a child is given, so that no dup2 in it overwrites one it still needs.
Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Failure(ErrorCode::Storage, "cannot make a pipe: " + reason());
  const Descriptor low_read(ends[0]), low_write(ends[1]);
  Pipe pipe{Descriptor(::fcntl(ends[0], F_DUPFD_CLOEXEC, 16)), Descriptor(::fcntl(ends[1], F_DUPFD_CLOEXEC, 16))};
  if (pipe.read.get() < 0 || pipe.write.get() < 0) throw Failure(ErrorCode::Storage, "cannot make a pipe: " + reason());
  return pipe;
}

void set_nonblocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Field 22 of /proc/PID/stat; nullopt: no such process, or one that has ended and waits for its parent.
std::optional<std::uint64_t> start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const std::size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(after_name + 1));
  std::string field;
  for (int number = 3; fields >> field; ++number) {
    if (number == 3 && (field == "Z" || field == "X")) return std::nullopt;
    if (number == 22) return std::strtoull(field.c_str(), nullptr, 10);
  }
  return std::nullopt;
}

int open_pidfd(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

// Threads are bound only within processors of the job's own: two jobs bound to the same ones would share them and leave
// others idle.
std::vector<std::string> clean_environment(const job::Grant& grant, const fs::path& folder, bool own_processors) {
  const std::string cores = std::to_string(std::max(grant.cores, 1U));
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + folder.string(),
          "TMPDIR=" + (folder / "tmp").string(), "OMP_NUM_THREADS=" + cores,
          own_processors ? "OMP_PROC_BIND=true" : "OMP_PROC_BIND=false", "OMP_PLACES=cores", "OMP_DYNAMIC=false",
          // For workers that link MPI and run as one process: start fast, stay on this machine (docs/operation.md).
          "OMPI_MCA_pml=ob1", "OMPI_MCA_btl=self,vader", "OMPI_MCA_plm=isolated", "OMPI_MCA_oob_tcp_if_include=lo",
          "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
}

// Beside the rest, for mpirun. What ranks of one machine pass to each other lies in memory that is wiped with the job.
void add_mpi_environment(std::vector<std::string>& environment, const fs::path& folder, bool elsewhere) {
  if (!elsewhere) {
    environment.push_back("OMPI_MCA_btl_vader_backing_directory=" + (folder / "tmp").string());
    return;
  }
  std::erase_if(environment, [](const std::string& item) {
    return item.starts_with("OMPI_MCA_btl=") || item.starts_with("OMPI_MCA_plm=") ||
           item.starts_with("OMPI_MCA_oob_tcp_if_include=");
  });
  environment.insert(environment.end(), {"OMPI_MCA_btl=self,vader,tcp", "OMPI_MCA_plm=rsh"});
}

// Joins lines; what is longer than a line may be is dropped up to its end.
class LineSplitter final {
 public:
  template <class Take>
  void add(std::string_view bytes, Take take) {
    for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      append(bytes.substr(0, end));
      if (overlong_)
        ++dropped_;
      else
        take(std::string_view(pending_));
      pending_.clear();
      overlong_ = false;
      bytes.remove_prefix(end + 1);
    }
    append(bytes);
  }
  void malformed() { ++dropped_; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  void append(std::string_view part) {
    if (overlong_ || pending_.size() + part.size() > job::kWorkerLineLimit) {
      overlong_ = true;
      pending_.clear();
      return;
    }
    pending_.append(part);
  }
  std::string pending_;
  bool overlong_ = false;
  std::uint64_t dropped_ = 0;
};

}  // namespace

struct Launcher::Worker {
  pid_t guard = -1;
  Descriptor process;         // pidfd of the guard
  Descriptor to, from, hold;  // the worker's standard input, its descriptor 3, the guard's descriptor 4
  LineSplitter lines;
  std::deque<std::string> queue;  // for the worker; the first may be half written
  std::size_t queued = 0;         // bytes in it
  bool flush_due = false;
  bool closing = false;  // its input ends when the queue is empty
  std::vector<Seat> seats;
  bool by_mpirun = false, elsewhere = false;  // elsewhere: also on other hosts
  std::vector<std::string> outputs;
  job::Digest build{};
  fs::path folder;
};

struct Launcher::Hashing {
  std::thread thread;
  bool done = false;  // set on the loop's thread
};

std::size_t end_leftover_workers(const std::vector<wire::Row>& rows) {
  std::size_t alive = 0;
  for (const wire::Row& row : rows) {
    if (row.table != kWorkerTable) continue;
    const auto record = parse_worker_record(row);
    if (!record || record->process_group <= 1 || start_time(record->process_group) != record->start_time) continue;
    ++alive;
    const Descriptor process(open_pidfd(record->process_group));
    pollfd ended{process.get(), POLLIN, 0};
    if (process.get() >= 0) ::poll(&ended, 1, 2000);
    if (start_time(record->process_group) == record->start_time) ::kill(-record->process_group, SIGKILL);
    if (process.get() >= 0) ::poll(&ended, 1, 2000);
  }
  return alive;
}

Launcher::Launcher(LauncherOptions options, Scratch& scratch, wire::Journal& journal, LoopHooks hooks)
    : options_(std::move(options)),
      scratch_(scratch),
      journal_(journal),
      hooks_(std::move(hooks)),
      seating_(options_.seats) {
  if (::access(options_.guard.c_str(), X_OK) != 0) {
    throw Failure(ErrorCode::Storage,
                  "cannot run " + options_.guard.string() + ": " + reason() + "; it is installed beside tomogrid");
  }
}

Launcher::~Launcher() {
  end();
}

void Launcher::end() {
  *alive_ = false;
  for (auto& [job, worker] : workers_) {
    worker->to.reset();
    worker->hold.reset();  // the guard ends the worker
  }
  const auto patience = static_cast<int>(options_.kill_grace.count()) + 2000;
  for (auto& [job, worker] : workers_) {
    pollfd ended{worker->process.get(), POLLIN, 0};
    if (::poll(&ended, 1, patience) <= 0) ::kill(-worker->guard, SIGKILL);
    while (::waitpid(worker->guard, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  workers_.clear();
  for (const auto& item : hashing_) item->thread.join();
  hashing_.clear();
}

void Launcher::prepare(const wire::PrepareScratch& effect) {
  if (auto made = scratch_.prepare(effect); !made) {
    log::error("scratch.prepare-failed", {{"job", job::short_text(effect.job.job)}, {"reason", made.error().message}});
  }
}

void Launcher::wipe(const wire::Wipe& effect) {
  if (auto wiped = scratch_.wipe(effect.job); !wiped) {
    log::error("scratch.wipe-failed", {{"job", job::short_text(effect.job.job)}, {"reason", wiped.error().message}});
  }
}

void Launcher::start(const wire::StartWorker& effect) {
  TOMOGRID_ASSERT(!workers_.contains(effect.job));
  auto worker = std::make_unique<Worker>();
  Result<void> launched;
  try {
    launched = launch(effect, *worker);
  } catch (const Failure& failure) {
    launched = failure.error();
  }
  if (!launched) {
    seating_.give_back(worker->seats);
    return fail_later(effect.job, launched.error().message);
  }
  const wire::JobKey key = effect.job;
  const int from = worker->from.get(), process = worker->process.get();
  workers_[key] = std::move(worker);
  hooks_.watch(from, [this, key] { read_lines(key); });
  hooks_.watch(process, [this, key] { on_exit(key); });
}

Result<void> Launcher::launch(const wire::StartWorker& effect, Worker& worker) {
  auto program = find_program(effect.command.front());
  if (!program) return program.error();
  worker.folder = scratch_.folder(effect.job);
  worker.outputs = effect.outputs;
  worker.build = build_of(*program);
  job::WorkOrder order = effect.order;
  std::vector<std::string> command = effect.command;
  command.front() = program->string();
  command = place(std::move(command), effect, order.grant, worker);
  prepare_folder(worker.folder, order);

  GuardOptions guard;
  for (const Seat& seat : worker.seats) {
    if (seat.cpu >= 0) guard.cpus.push_back(seat.cpu);
  }
  guard.grace_ms = static_cast<int>(options_.kill_grace.count());
  const std::uint64_t memory = order.grant.memory.count();
  if (memory != 0) guard.memory_limit = memory + kStackAndHeapSlack + order.grant.cores * kPerThreadSlack;
  guard.file_limit = order.grant.scratch.count() + kFileSlack;
  guard.command = std::move(command);

  Pipe input = make_pipe(), lines = make_pipe(), hold = make_pipe();
  const std::string log = (worker.folder / "worker.log").string();
  const Descriptor log_file(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  const Descriptor high_log(::fcntl(log_file.get(), F_DUPFD_CLOEXEC, 16));
  if (high_log.get() < 0) return Error{ErrorCode::Storage, "cannot open " + log + ": " + reason()};

  std::vector<std::string> words = guard_arguments(guard);
  words.insert(words.begin(), options_.guard.string());
  std::vector<std::string> environment = clean_environment(order.grant, worker.folder, !guard.cpus.empty());
  if (worker.by_mpirun) add_mpi_environment(environment, worker.folder, worker.elsewhere);
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
  };
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.read.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, worker.by_mpirun ? lines.write.get() : high_log.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, high_log.get(), 2);
  posix_spawn_file_actions_adddup2(&actions, lines.write.get(), 3);
  posix_spawn_file_actions_adddup2(&actions, hold.read.get(), 4);
  posix_spawn_file_actions_addclosefrom_np(&actions, 5);
  posix_spawn_file_actions_addchdir_np(&actions, worker.folder.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  const int status = ::posix_spawn(&worker.guard, options_.guard.c_str(), &actions, &attributes, pointers(words).data(),
                                   pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (status != 0) {
    return Error{ErrorCode::Internal,
                 "cannot start " + options_.guard.string() + ": " + std::generic_category().message(status)};
  }
  worker.process = Descriptor(open_pidfd(worker.guard));
  worker.to = std::move(input.write);
  worker.from = std::move(lines.read);
  worker.hold = std::move(hold.write);
  set_nonblocking(worker.to.get());
  set_nonblocking(worker.from.get());

  // The guard starts nothing before its group is on record and it has this byte.
  const auto started = start_time(worker.guard);
  Result<void> recorded = journal_.commit({encode(WorkerRecord{effect.job, worker.guard, started.value_or(0)})});
  if (recorded && worker.process.get() >= 0 && ::write(worker.hold.get(), "g", 1) == 1) return {};
  worker.hold.reset();
  while (::waitpid(worker.guard, nullptr, 0) < 0 && errno == EINTR) {
  }
  return recorded ? Error{ErrorCode::Internal, "the worker's guard ended at once: " + reason()} : recorded.error();
}

Result<fs::path> Launcher::find_program(const std::string& name) const {
  if (name.find('/') != std::string::npos)
    return Error{ErrorCode::BadInput, "a service's program is a name, not a path: " + name};
  for (const fs::path& folder : options_.programs) {
    const fs::path path = folder / name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return Error{ErrorCode::NotFound, "program " + name + " is neither beside tomogrid nor in PATH"};
}

void Launcher::prepare_folder(const fs::path& folder, job::WorkOrder& order) const {
  std::error_code error;
  std::vector<std::string> keep;
  for (job::StreamFact& input : order.inputs) {
    const fs::path in = folder / "in" / input.name, out = folder / "out" / input.name;
    if (input.length.count() == 0 &&
        fs::exists(out, error)) {  // a checkpoint of the attempt before: the same file under both names
      fs::remove(in, error);
      fs::create_hard_link(out, in, error);
      keep.push_back(input.name);
    }
    input.length = Bytes(fs::file_size(in, error));
    if (error) throw Failure(ErrorCode::Storage, "input " + input.name + " is not in scratch");
  }
  for (const auto& file : fs::directory_iterator(folder / "out", error)) {
    if (std::find(keep.begin(), keep.end(), file.path().filename().string()) == keep.end())
      fs::remove_all(file.path(), error);
  }
  fs::remove_all(folder / "tmp", error);
  make_private_folder(folder / "tmp");
  write_file(folder / "job.json", bytes_of(job::encode(order)), FileMode::Private).or_throw();
}

// Takes the processors and says which command runs on them.
std::vector<std::string> Launcher::place(std::vector<std::string> command, const wire::StartWorker& effect,
                                         job::Grant& grant, Worker& worker) {
  const bool may_spread = effect.ranks && !options_.mpirun.empty();
  const auto here = static_cast<std::uint32_t>(
      std::count_if(options_.seats.begin(), options_.seats.end(), [](const Seat& seat) { return seat.host.empty(); }));
  if (!may_spread && here < options_.seats.size()) grant.cores = std::min(grant.cores, std::max(here, 1U));
  worker.seats = seating_.take(grant.cores, may_spread);
  if (worker.seats.size() < grant.cores) {  // more promised than there are: the kernel spreads them
    seating_.give_back(std::exchange(worker.seats, {}));
    return command;
  }
  const std::vector<Rank> ranks = ranks_of(worker.seats, options_.cores_per_rank);
  if (!may_spread || ranks.size() < 2) return command;
  worker.by_mpirun = true;
  worker.elsewhere = std::any_of(ranks.begin(), ranks.end(), [](const Rank& rank) { return !rank.host.empty(); });
  log::info("worker.ranks", {{"job", job::short_text(effect.job.job)}, {"ranks", ranks.size()}});
  return mpirun_command(options_.mpirun, options_.mpirun_options, ranks, command);
}

// Hashed once per file as it is; a program that was installed anew is another one.
job::Digest Launcher::build_of(const fs::path& program) {
  struct stat status {};
  if (::stat(program.c_str(), &status) != 0)
    throw Failure(ErrorCode::NotFound, "cannot examine " + program.string() + ": " + reason());
  const std::string identity = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + ":" +
                               std::to_string(status.st_size) + ":" + std::to_string(status.st_mtim.tv_sec) + ":" +
                               std::to_string(status.st_mtim.tv_nsec);
  Build& build = builds_[program.string()];
  if (build.identity != identity) {
    build = {identity, certs::sha256(read_file(program, gibibytes(1)).or_throw())};
  }
  return build.digest;
}

void Launcher::tell(const wire::TellWorker& effect) {
  const auto found = workers_.find(effect.job);
  if (found == workers_.end() || found->second->closing || found->second->to.get() < 0) return;
  Worker& worker = *found->second;
  worker.queue.push_back(job::encode(effect.line) + "\n");
  worker.queued += worker.queue.back().size();
  if (worker.queued > kQueuedToWorkerMax) {
    log::warning("worker.deaf", {{"job", job::short_text(effect.job.job)}, {"queued_bytes", worker.queued}});
    return let_go(effect.job);
  }
  if (!worker.flush_due) flush(effect.job);
}

void Launcher::flush(const wire::JobKey& job) {
  const auto found = workers_.find(job);
  if (found == workers_.end()) return;
  Worker& worker = *found->second;
  worker.flush_due = false;
  while (!worker.queue.empty() && worker.to.get() >= 0) {
    std::string& line = worker.queue.front();
    const ssize_t n = ::write(worker.to.get(), line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      worker.flush_due = true;
      hooks_.after(kFlushAgain, [this, job, alive = alive_] {
        if (*alive) flush(job);
      });
      return;
    }
    if (n < 0) {  // it does not want to hear more; its end will be seen
      worker.queue.clear();
      worker.queued = 0;
      break;
    }
    worker.queued -= static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) == line.size())
      worker.queue.pop_front();
    else
      line.erase(0, static_cast<std::size_t>(n));
  }
  if (worker.closing && worker.queue.empty()) worker.to.reset();
}

void Launcher::stop(const wire::StopWorker& effect) {
  const auto found = workers_.find(effect.job);
  if (found == workers_.end()) return;
  Worker& worker = *found->second;
  worker.closing = true;
  if (!worker.flush_due) flush(effect.job);
  const pid_t guard = worker.guard;
  hooks_.after(options_.grace, [this, key = effect.job, guard, alive = alive_] {
    if (!*alive) return;
    const auto still = workers_.find(key);
    if (still != workers_.end() && still->second->guard == guard) let_go(key);
  });
}

// The guard sees its hold end: SIGTERM, then SIGKILL for all that descends from it.
void Launcher::let_go(const wire::JobKey& job) {
  Worker& worker = *workers_.at(job);
  worker.closing = true;
  worker.queue.clear();
  worker.queued = 0;
  worker.to.reset();
  worker.hold.reset();
}

void Launcher::read_lines(const wire::JobKey& job) {
  const auto found = workers_.find(job);
  if (found == workers_.end()) return;
  Worker& worker = *found->second;
  char buffer[64 * 1024];
  ssize_t n = -1;
  while ((n = ::read(worker.from.get(), buffer, sizeof buffer)) < 0 && errno == EINTR) {
  }
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    hooks_.unwatch(worker.from.get());
    worker.from.reset();
    return;
  }
  std::vector<job::FromWorker> lines;
  worker.lines.add({buffer, static_cast<std::size_t>(n)}, [&](std::string_view text) {
    if (auto line = job::parse_from_worker(text))
      lines.push_back(*std::move(line));
    else
      worker.lines.malformed();
  });
  for (job::FromWorker& line : lines) hooks_.feed(wire::WorkerSaid{job, std::move(line)});
}

void Launcher::on_exit(const wire::JobKey& job) {
  const auto found = workers_.find(job);
  if (found == workers_.end()) return;
  Worker* worker = found->second.get();
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(worker->guard), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
  hooks_.unwatch(worker->process.get());
  // What it said last is still in the pipe; nobody writes to it any more.
  while (workers_.contains(job) && worker->from.get() >= 0) {
    pollfd more{worker->from.get(), POLLIN, 0};
    if (::poll(&more, 1, 0) <= 0) {
      hooks_.unwatch(worker->from.get());
      worker->from.reset();
    } else {
      read_lines(job);
    }
  }
  const int status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  if (worker->lines.dropped() > 0) {
    log::warning("worker.lines-dropped", {{"job", job::short_text(job.job)}, {"lines", worker->lines.dropped()}});
  }
  const fs::path log_path = worker->folder / "worker.log";
  if (auto text = read_file(log_path, mebibytes(16)); text && status != 0 && !text->empty()) {
    const std::size_t tail = std::min<std::size_t>(text->size(), 400);
    log::debug("worker.last-words", {{"job", job::short_text(job.job)}, {"text", text_of(ByteView(*text).last(tail))}});
  }
  seating_.give_back(worker->seats);
  std::vector<std::string> outputs = std::move(worker->outputs);
  const job::Digest build = worker->build;
  workers_.erase(job);
  if (auto erased = journal_.commit({{kWorkerTable, row_key(job), ""}}); !erased) {
    hooks_.feed(wire::StorageFailed{erased.error()});
  }
  exited(job, status, std::move(outputs), build);
}

// Hashes what the worker wrote, beside the loop, and then says that it has ended.
void Launcher::exited(const wire::JobKey& job, int status, std::vector<std::string> outputs, job::Digest build) {
  std::erase_if(hashing_, [](const auto& item) {
    if (item->done) item->thread.join();
    return item->done;
  });
  auto hashing = std::make_unique<Hashing>();
  Hashing* self = hashing.get();
  const fs::path folder = scratch_.folder(job) / "out";
  hashing->thread = std::thread([this, self, job, status, outputs = std::move(outputs), build, folder, alive = alive_] {
    wire::WorkerExited event{job, status, {}, build};
    for (const std::string& name : outputs) {
      if (status != 0) break;
      if (auto hash = certs::hash_file(folder / name, options_.hash_threads))
        event.outputs.push_back({name, hash->length, hash->root});
    }
    if (!*alive) return;
    hooks_.post([this, self, event = std::move(event), alive] {
      if (!*alive) return;
      self->done = true;
      hooks_.feed(event);
    });
  });
  hashing_.push_back(std::move(hashing));
}

void Launcher::fail_later(const wire::JobKey& job, const std::string& reason) {
  log::error("worker.not-started", {{"job", job::short_text(job.job)}, {"reason", reason}});
  hooks_.post([this, job, alive = alive_] {
    if (*alive) hooks_.feed(wire::WorkerExited{job, 127, {}, {}});
  });
}

std::vector<int> Launcher::process_groups() const {
  std::vector<int> groups;
  for (const auto& [job, worker] : workers_) groups.push_back(worker->guard);
  return groups;
}

}  // namespace tomogrid::node
