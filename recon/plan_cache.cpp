#include "recon/plan_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <type_traits>

#include "base/file.h"
#include "recon/plan.h"

namespace tomogrid::recon {

namespace {

// File: Header, description (counts and offsets), then arrays at multiples of kAlignment, in this machine's byte order.
constexpr std::uint64_t kMagic = 0x324e4c5044494d54ULL;  // "TMIDPLN2"
constexpr std::size_t kAlignment = 64, kDescriptionMost = std::size_t{64} << 20;
constexpr std::uint64_t kFolderMost = std::uint64_t{4} << 30;
constexpr const char* kSuffix = ".tomogrid-plan";

struct Key {
  std::uint64_t low = 0, high = 0;
  bool operator==(const Key&) const = default;
};

struct Header {
  std::uint64_t magic = kMagic;
  std::uint64_t file_size = 0;
  std::uint64_t description_size = 0;
  std::uint64_t description_check = 0, arrays_check = 0;
  Key key;
  std::uint64_t reserved = 0;
};
static_assert(sizeof(Header) == kAlignment);

// Eight lanes of xor and multiply by an odd number: any change within one word changes the result, and memory is the
// limit. Against accidents, not against forgers.
std::uint64_t checksum(const std::uint8_t* bytes, std::size_t size, std::uint64_t seed) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  constexpr std::size_t kWords = 8;
  std::uint64_t lanes[kWords];
  for (std::size_t k = 0; k < kWords; ++k) lanes[k] = seed + k;
  lanes[0] ^= size;
  std::size_t i = 0;
  for (; i + 8 * kWords <= size; i += 8 * kWords) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kWords; ++k) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i + 8 * k, sizeof word);
      lanes[k] = std::rotl(lanes[k] ^ word, 29) * kOdd;
      // Stays in a register of its own: there is no vector multiply of 64 bits below AVX-512, and g++ builds one, five
      // times as slow.
      asm("" : "+r"(lanes[k]));
    }
  }
  for (std::size_t k = 0; i < size; i += 8, ++k) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, std::min<std::size_t>(8, size - i));
    lanes[k] = std::rotl(lanes[k] ^ word, 29) * kOdd;
  }
  std::uint64_t hash = 0;
  for (const std::uint64_t lane : lanes) hash = std::rotl(hash ^ lane, 31) * kOdd;
  return hash ^ (hash >> 32);
}

// Makes the system map these pages at once and not one fault at a time; a hint, refused by kernels before 5.14.
void map_in(const std::uint8_t* bytes, std::size_t size) {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, which this C library's headers may not know
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes) / kPage * kPage;
  ::madvise(reinterpret_cast<void*>(begin), reinterpret_cast<std::uintptr_t>(bytes) + size - begin, kPopulateRead);
}

// In pieces that threads share.
std::uint64_t checksum_in_pieces(const std::uint8_t* bytes, std::size_t size, std::uint64_t seed) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<std::uint64_t> pieces((size + kPiece - 1) / kPiece);
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::uint8_t* piece = bytes + i * kPiece;
    const std::size_t length = std::min(kPiece, size - i * kPiece);
    map_in(piece, length);
    pieces[i] = checksum(piece, length, seed + i);
  }
  return checksum(reinterpret_cast<const std::uint8_t*>(pieces.data()), pieces.size() * sizeof(std::uint64_t), size);
}

class Writer {
 public:
  template <class T>
  void put(const T& value) {
    static_assert(std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>);
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void size(std::size_t value) { put(static_cast<std::uint64_t>(value)); }
  ByteString bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  template <class T>
  T get() {
    T value{};
    if (bytes_.size() - at_ < sizeof value) {
      good_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::size_t size() { return static_cast<std::size_t>(get<std::uint64_t>()); }
  // A count of things that take `each` bytes of description at least; 0 when there cannot be so many.
  std::size_t count(std::size_t each) {
    const std::size_t n = size();
    if (n > (bytes_.size() - at_) / each) good_ = false;
    return good_ ? n : 0;
  }
  bool good() const { return good_; }
  bool finished() const { return good_ && at_ == bytes_.size(); }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

// A new member of these decides what is in a plan, so it belongs in key_of().
static_assert(sizeof(PlanOptions) == 80 && sizeof(Model) == 56 && sizeof(image::View) == 40 &&
              sizeof(image::ProjectionGeometry) == 72 && sizeof(image::VolumeGeometry) == 72);

// Everything that decides what is in a plan. Instruction sets and threads do not.
Key key_of(const image::ProjectionGeometry& g, const Model& model, const PlanOptions& o, const Ranks& ranks) {
  Writer w;
  for (const char c : std::string(TOMOGRID_VERSION)) w.put(c);
  for (const std::uint64_t number : {std::uint64_t{kNumericalContract},
                                     std::uint64_t{kLanes},
                                     std::uint64_t{kTaps},
                                     std::uint64_t{kBatch},
                                     std::uint64_t{sizeof(RowEntry)},
                                     std::uint64_t{ranks.rank()},
                                     std::uint64_t{ranks.size()},
                                     std::uint64_t{g.bins},
                                     std::uint64_t{g.rows},
                                     std::uint64_t{g.views.size()},
                                     std::uint64_t{o.size},
                                     std::uint64_t{o.support_margin},
                                     std::uint64_t{o.subsets},
                                     std::uint64_t{o.groups},
                                     o.attenuation_memory.count(),
                                     o.memory_limit.count(),
                                     std::uint64_t{o.support_within_attenuation},
                                     std::uint64_t{model.response.enabled},
                                     std::uint64_t{model.half_life.has_value()},
                                     std::uint64_t{model.attenuation != nullptr}}) {
    w.put(number);
  }
  for (const double number : {g.bin_mm.count(), g.row_mm.count(), g.u0.count(), g.v0.count(), o.voxel.count(),
                              o.support_radius.count(), model.response.sigma0.count(), model.response.slope,
                              model.attenuation_factor, model.half_life ? model.half_life->count() : 0.0}) {
    w.put(number);
  }
  for (const image::View& view : g.views) {
    for (const double number : {view.angle.count(), view.radius.count(), view.start.count(), view.duration.count()})
      w.put(number);
    w.put(static_cast<std::uint64_t>(view.detector));
  }
  if (model.attenuation != nullptr) {
    const image::Volume& map = *model.attenuation;
    const image::VolumeGeometry& m = map.geometry;
    for (const std::size_t number : {m.columns, m.rows, m.slices, map.values.size()}) w.size(number);
    for (const double number :
         {m.column_mm.count(), m.row_mm.count(), m.slice_mm.count(), m.x0.count(), m.y0.count(), m.z0.count()})
      w.put(number);
    const auto* raw = reinterpret_cast<const std::uint8_t*>(map.values.data());
    w.put(checksum_in_pieces(raw, map.values.size() * sizeof(float), 1));
    w.put(checksum_in_pieces(raw, map.values.size() * sizeof(float), 0x5bd1e995));
  }
  return {checksum(w.bytes.data(), w.bytes.size(), 3), checksum(w.bytes.data(), w.bytes.size(), 4)};
}

std::filesystem::path file_of(const std::filesystem::path& folder, const Key& key) {
  char name[40];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(key.high),
                static_cast<unsigned long long>(key.low));
  return folder / (std::string(name) + kSuffix);
}

// The arrays of a plan in the order in which they are written, each with its place in the file.
class Arrays {
 public:
  template <class T>
  std::uint64_t add(const T* data, std::size_t count) {
    const std::uint64_t at = end_;
    pieces_.push_back({reinterpret_cast<const std::uint8_t*>(data), count * sizeof(T)});
    end_ = (end_ + count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  struct Piece {
    const std::uint8_t* data;
    std::size_t size;
  };
  const std::vector<Piece>& pieces() const { return pieces_; }
  std::uint64_t end() const { return end_; }

 private:
  std::vector<Piece> pieces_;
  std::uint64_t end_ = 0;  // from the first array
};

std::size_t factor_lines(const ViewPlan& view) {
  std::size_t lines = 0;
  for (const RowEntry& entry : view.entries.first(view.entries.size() - 8)) {
    if (entry.factors != kUnattenuated) lines = std::max<std::size_t>(lines, entry.factors + std::size_t{1});
  }
  return lines;
}

void describe(const PlanData& p, Writer& w, Arrays& arrays) {
  w.put(p.fingerprint);
  w.put(p.forecast.memory.count());
  w.put(p.forecast.iteration.count());
  for (const std::size_t number :
       {std::size_t{p.forecast.attenuation_stored}, std::size_t{p.attenuated}, p.margin, p.state_bins, p.batch})
    w.size(number);
  w.size(p.columns.size());
  for (const Column& column : p.columns) {
    w.put(column.ix);
    w.put(column.iy);
    w.put(column.x);
    w.put(column.y);
  }
  w.size(p.subsets.size());
  for (const SubsetPlan& subset : p.subsets) {
    w.size(subset.views.size());
    for (const std::size_t view : subset.views) w.size(view);
    w.size(subset.group_count);
    w.size(subset.own_begin);
    w.size(subset.groups.size());
    for (const Group& group : subset.groups) {
      w.size(group.begin);
      w.size(group.end);
    }
    w.put(arrays.add(subset.sensitivity.data(), subset.sensitivity.size()));
  }
  w.size(p.views.size());
  const bool stored = p.forecast.attenuation_stored;
  for (const ViewPlan& view : p.views) {
    const std::size_t lines = stored ? factor_lines(view) : 0;
    w.size(view.view);
    w.put(view.factor);
    for (const std::size_t count : {view.entries.size(), view.runs.size(), view.layers.size(), lines}) w.size(count);
    w.put(arrays.add(view.entries.data(), view.entries.size()));
    w.put(arrays.add(view.runs.data(), view.runs.size()));
    w.put(arrays.add(view.layers.data(), view.layers.size()));
    w.put(arrays.add(view.attenuation, lines * p.axial.line()));
  }
  w.size(p.map.stride);
  w.size(p.map.rows);
  for (const std::uint32_t bound : {p.map.x_low, p.map.x_high, p.map.y_low, p.map.y_high}) w.put(bound);
  w.size(p.map.values.size());
  w.put(arrays.add(p.map.values.data(), p.map.values.size()));
}

// Removes the files that were not used for longest until what remains is within the limit. `kept` stays.
void prune(const std::filesystem::path& folder, const std::filesystem::path& kept) {
  struct Old {
    std::filesystem::file_time_type used;
    std::uint64_t size;
    std::filesystem::path path;
  };
  std::vector<Old> files;
  std::uint64_t total = 0;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(folder, ignored)) {
    if (file.path().extension() != kSuffix || !file.is_regular_file(ignored)) continue;
    files.push_back({file.last_write_time(ignored), file.file_size(ignored), file.path()});
    total += files.back().size;
  }
  std::sort(files.begin(), files.end(), [](const Old& a, const Old& b) { return a.used < b.used; });
  for (const Old& file : files) {
    if (total <= kFolderMost) break;
    if (file.path == kept || !std::filesystem::remove(file.path, ignored)) continue;
    total -= file.size;
  }
}

Result<void> store(const std::filesystem::path& folder, const Key& key, const PlanData& p) {
  Writer description;
  Arrays arrays;
  describe(p, description, arrays);
  description.bytes.resize((description.bytes.size() + kAlignment - 1) / kAlignment * kAlignment, 0);
  Header header;
  header.description_size = description.bytes.size();
  header.file_size = sizeof(Header) + description.bytes.size() + arrays.end();
  header.key = key;
  header.description_check = checksum(description.bytes.data(), description.bytes.size(), kMagic);
  if (header.file_size > kFolderMost || description.bytes.size() > kDescriptionMost)
    return Error{ErrorCode::Storage, "the plan is larger than a plan cache may be"};
  const std::filesystem::path path = file_of(folder, key);
  try {
    make_private_folder(folder);
    AtomicFile file(path, FileMode::Private);
    // The checksum needs the arrays as they lie in the file, so they are written, mapped and read once.
    if (auto written = file.append({reinterpret_cast<const std::uint8_t*>(&header), sizeof header}); !written)
      return written.error();
    if (auto written = file.append(description.bytes); !written) return written.error();
    const std::uint8_t zeros[kAlignment] = {};
    for (const Arrays::Piece& piece : arrays.pieces()) {
      if (auto written = file.append({piece.data, piece.size}); !written) return written.error();
      const std::size_t rest = (kAlignment - piece.size % kAlignment) % kAlignment;
      if (auto written = file.append({zeros, rest}); !written) return written.error();
    }
    const int descriptor = ::open(file.temporary().c_str(), O_RDWR | O_CLOEXEC);
    void* mapped = descriptor < 0
                       ? MAP_FAILED
                       : ::mmap(nullptr, header.file_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (descriptor >= 0) ::close(descriptor);
    if (mapped == MAP_FAILED) return Error{ErrorCode::Storage, "the plan cache's new file cannot be mapped"};
    auto* bytes = static_cast<std::uint8_t*>(mapped);
    header.arrays_check = checksum_in_pieces(bytes + sizeof header + header.description_size, arrays.end(), kMagic);
    std::memcpy(bytes, &header, sizeof header);
    ::munmap(mapped, header.file_size);
    if (auto done = file.commit(); !done) return done.error();
  } catch (const Failure& failure) {
    return Error{ErrorCode::Storage, failure.what()};
  }
  prune(folder, path);
  return {};
}

// A whole file in memory; null when it is absent, not this user's own, or not of a plan's kind.
std::shared_ptr<const std::uint8_t> map_file(const std::filesystem::path& path, std::size_t& size) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return nullptr;
  struct stat facts {};
  const bool fit = ::fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_uid == ::geteuid() &&
                   (facts.st_mode & 022) == 0 && facts.st_size >= static_cast<off_t>(sizeof(Header));
  void* mapped = MAP_FAILED;
  size = fit ? static_cast<std::size_t>(facts.st_size) : 0;
  if (fit) mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (mapped != MAP_FAILED) ::futimens(descriptor, nullptr);  // used now; fails where only reading is allowed: no harm
  ::close(descriptor);
  if (mapped == MAP_FAILED) return nullptr;
  const std::size_t length = size;
  return {static_cast<const std::uint8_t*>(mapped),
          [length](const std::uint8_t* bytes) { ::munmap(const_cast<std::uint8_t*>(bytes), length); }};
}

// Every index within its array, so that no kernel can leave the memory that is there whatever the file says.
bool indices_hold(const PlanData& p, const ViewPlan& view, std::size_t lines) {
  if (view.entries.size() < 8 || view.layers.empty()) return false;
  const bool tabled = p.attenuated && p.forecast.attenuation_stored;
  std::size_t beyond = 0;  // counted without a branch: a million entries are looked at
  for (const RowEntry& entry : view.entries) {
    const bool line_good = !tabled || entry.factors == kUnattenuated || entry.factors < lines;
    beyond += static_cast<std::size_t>(entry.column >= p.columns.size()) + static_cast<std::size_t>(!line_good);
  }
  // The eight at the end are only fetched ahead; their lines of factors are never read.
  const std::size_t entry_count = view.entries.size() - 8;
  for (const RowEntry& entry : view.entries.subspan(entry_count))
    beyond -= tabled && entry.factors != kUnattenuated && entry.factors >= lines ? 1U : 0U;
  if (beyond > 0) return false;
  std::size_t next = 0;
  for (const Run& run : view.runs) {
    const bool good = run.begin == next && run.end > run.begin && run.end <= entry_count &&
                      run.end - run.begin <= kRunLimit && run.bin + kTaps <= p.state_bins;
    if (!good) return false;
    next = run.end;
  }
  std::uint32_t run = 0;
  for (const Layer& layer : view.layers) {
    if (layer.run_begin != run || layer.run_end < run || layer.run_end > view.runs.size()) return false;
    if (layer.low > layer.high || layer.high > p.state_bins) return false;
    run = layer.run_end;
  }
  return true;
}

// Fills what make_plan() computes. False: the file is not to be believed.
bool restore(const std::filesystem::path& path, const Key& key, PlanData& p) {
  std::size_t size = 0;
  const std::shared_ptr<const std::uint8_t> file = map_file(path, size);
  if (file == nullptr) return false;
  Header header;
  std::memcpy(&header, file.get(), sizeof header);
  if (header.magic != kMagic || !(header.key == key) || header.file_size != size ||
      header.description_size > std::min(kDescriptionMost, size - sizeof header) ||
      header.description_size % kAlignment != 0)
    return false;
  const std::uint8_t* description = file.get() + sizeof header;
  const std::uint8_t* bulk = description + header.description_size;
  const std::size_t bulk_size = size - sizeof header - header.description_size;
  if (checksum(description, header.description_size, kMagic) != header.description_check) return false;
  if (checksum_in_pieces(bulk, bulk_size, kMagic) != header.arrays_check) return false;

  Reader r({description, header.description_size});
  bool good = true;
  const auto array = [&]<class T>(std::uint64_t at, std::size_t count, const T*& out) {
    good = good && at % kAlignment == 0 && at <= bulk_size && count <= (bulk_size - at) / sizeof(T);
    out = good ? reinterpret_cast<const T*>(bulk + at) : nullptr;
  };
  p.fingerprint = r.get<std::uint64_t>();
  p.forecast.memory = Bytes(r.get<std::uint64_t>());
  p.forecast.iteration = FlopCount(r.get<double>());
  p.forecast.attenuation_stored = r.size() != 0;
  p.attenuated = r.size() != 0;
  p.margin = r.size();
  p.state_bins = r.size();
  p.batch = r.size();
  if (p.margin > 4096 || p.state_bins != p.projections.bins + 2 * p.margin || p.batch == 0 || p.batch > kBatch)
    return false;
  p.columns.resize(r.count(24));
  for (Column& column : p.columns) {
    column.ix = r.get<std::uint32_t>();
    column.iy = r.get<std::uint32_t>();
    column.x = r.get<double>();
    column.y = r.get<double>();
    if (column.ix >= p.volume.columns || column.iy >= p.volume.rows) return false;
  }
  p.forecast.columns = p.columns.size();
  p.subsets.resize(r.count(40));
  for (SubsetPlan& subset : p.subsets) {
    subset.views.resize(r.count(8));
    for (std::size_t& view : subset.views) view = r.size();
    subset.group_count = r.size();
    subset.own_begin = r.size();
    subset.groups.resize(r.count(16));
    for (Group& group : subset.groups) {
      group.begin = r.size();
      group.end = r.size();
    }
    const float* from = nullptr;
    array(r.get<std::uint64_t>(), p.image_size(), from);
    if (!good || !r.good() || subset.own_begin + subset.groups.size() > subset.group_count) return false;
    subset.sensitivity = Buffer<float>(p.image_size());
    std::copy_n(from, p.image_size(), subset.sensitivity.data());
  }
  p.views.resize(r.count(76));
  std::vector<std::size_t> lines(p.views.size());
  for (std::size_t v = 0; v < p.views.size(); ++v) {
    ViewPlan& view = p.views[v];
    view.view = r.size();
    view.factor = r.get<float>();
    const std::size_t entries = r.size(), runs = r.size(), layers = r.size();
    lines[v] = r.size();
    const RowEntry* entry = nullptr;
    const Run* run = nullptr;
    const Layer* layer = nullptr;
    array(r.get<std::uint64_t>(), entries, entry);
    array(r.get<std::uint64_t>(), runs, run);
    array(r.get<std::uint64_t>(), layers, layer);
    good = good && lines[v] <= bulk_size;
    array(r.get<std::uint64_t>(), lines[v] * p.axial.line(), view.attenuation);
    if (!good || !r.good() || view.view >= p.projections.views.size()) return false;
    if (!p.attenuated || !p.forecast.attenuation_stored) view.attenuation = nullptr;
    view.entries = {entry, entries};
    view.runs = {run, runs};
    view.layers = {layer, layers};
  }
  p.map.stride = r.size();
  p.map.rows = r.size();
  for (std::uint32_t* bound : {&p.map.x_low, &p.map.x_high, &p.map.y_low, &p.map.y_high})
    *bound = r.get<std::uint32_t>();
  const std::size_t map_size = r.size();
  const float* map = nullptr;
  array(r.get<std::uint64_t>(), map_size, map);
  if (!good || !r.good()) return false;
  if (map_size > 0) {
    if (p.map.stride != p.volume.columns + 2 || p.map.rows != p.volume.rows + 2 ||
        map_size != p.axial.steps * p.map.stride * p.map.rows * kLanes || p.map.x_high > p.volume.columns ||
        p.map.y_high > p.volume.rows || p.map.x_low > p.map.x_high || p.map.y_low > p.map.y_high)
      return false;
    p.map.values = Buffer<float>(map_size);
    std::copy_n(map, map_size, p.map.values.data());
  } else if (p.attenuated && !p.forecast.attenuation_stored) {
    return false;
  }
  for (const SubsetPlan& subset : p.subsets) {
    for (const std::size_t view : subset.views) good = good && view < p.projections.views.size();
    for (const Group& group : subset.groups) good = good && group.begin <= group.end && group.end <= p.views.size();
  }
  int broken = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : broken)
  for (std::size_t v = 0; v < p.views.size(); ++v) broken += indices_hold(p, p.views[v], lines[v]) ? 0 : 1;
  if (!good || broken > 0) return false;
  p.mapping = file;
  return true;
}

}  // namespace

Result<CachedPlan> make_plan_cached(const std::filesystem::path& folder, const image::ProjectionGeometry& geometry,
                                    const Model& model, const PlanOptions& options, Ranks* ranks) {
  SingleRank alone;
  Ranks& all = ranks != nullptr ? *ranks : alone;
  if (auto checked = check_plan_inputs(geometry, model, options); !checked) return checked.error();
  const Key key = key_of(geometry, model, options, all);
  auto data = std::make_unique<PlanData>();
  set_frame(*data, geometry, options);
  const bool found = restore(file_of(folder, key), key, *data);
  double hits[1] = {found ? 1.0 : 0.0};
  all.merge(hits);  // a sum of ones is exact
  if (hits[0] == static_cast<double>(all.size()))
    return CachedPlan{.plan = Plan(std::move(data)), .reused = true, .notice = {}};
  data.reset();
  auto plan = make_plan(geometry, model, options, ranks);
  if (!plan) return plan.error();
  CachedPlan result{.plan = *std::move(plan), .reused = false, .notice = {}};
  if (auto stored = store(folder, key, result.plan.data()); !stored)
    result.notice = "the plan was not kept: " + stored.error().message;
  return result;
}

}  // namespace tomogrid::recon
