#include "image/stream_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

namespace tomogrid::image {

static_assert(std::endian::native == std::endian::little && sizeof(float) == 4, "raw data are little-endian float32");

using nlohmann::json;

namespace {

constexpr const char* kProjectionsKind = "projections/1";
constexpr const char* kVolumeKind = "volume/1";
constexpr double kMaxPosition = 1e5;   // mm
constexpr double kMaxSpacing = 1e3;    // mm
constexpr double kMaxRadius = 1e4;     // mm
constexpr double kMaxAngle = 1e3;      // rad: angles are not reduced to one turn
constexpr double kMaxTime = 1e7;       // s
constexpr double kMaxHalfLife = 1e12;  // s
constexpr double kMaxEnergy = 1e4;     // keV
constexpr std::size_t kMaxWindows = 16;
constexpr std::size_t kMaxDetectors = 64;

// Thrown and caught in this file only: turns nested reading into one Result.
struct Malformed {
  std::string what;
};

bool within(double value, double least, double most) {
  return std::isfinite(value) && value >= least && value <= most;
}

void require(bool condition, const std::string& what) {
  if (!condition) throw Malformed{what};
}

bool letter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_unit(std::string_view unit) {
  return unit.size() <= 32 && std::all_of(unit.begin(), unit.end(), [](char c) {
           return letter(c) || digit(c) || std::string_view("/%*^.- ").find(c) != std::string_view::npos;
         });
}

void require_side(std::size_t size, const char* name) {
  require(size >= 1 && size <= kMaxSide,
          std::string(name) + " is " + std::to_string(size) + ", not 1 to " + std::to_string(kMaxSide));
}

void require_product(std::size_t a, std::size_t b, std::size_t c, const char* what) {
  // Each factor is at most 4096, so the product fits.
  require(a * b * c <= kMaxElements, std::string(what) + " has " + std::to_string(a * b * c) + " elements, more than " +
                                         std::to_string(kMaxElements));
}

void require_within(double value, double least, double most, const char* name) {
  require(within(value, least, most),
          std::string(name) + " is not a number from " + json(least).dump() + " to " + json(most).dump());
}

void require_spacing(Millimetres spacing, const char* name) {
  require(std::isfinite(spacing.count()) && spacing.count() > 0 && spacing.count() <= kMaxSpacing,
          std::string(name) + " is not a positive number of mm up to " + json(kMaxSpacing).dump());
}

void require_valid(const ProjectionGeometry& g) {
  require_side(g.bins, "bins");
  require_side(g.rows, "rows");
  require(!g.views.empty() && g.views.size() <= kMaxViews,
          "there are " + std::to_string(g.views.size()) + " views, not 1 to " + std::to_string(kMaxViews));
  require_product(g.bins, g.rows, g.views.size(), "the scan");
  require_spacing(g.bin_mm, "bin_mm");
  require_spacing(g.row_mm, "row_mm");
  require_within(g.u0.count(), -kMaxPosition, kMaxPosition, "u0_mm");
  require_within(g.v0.count(), -kMaxPosition, kMaxPosition, "v0_mm");
  for (const View& view : g.views) {
    require_within(view.angle.count(), -kMaxAngle, kMaxAngle, "a view's angle_rad");
    require_within(view.radius.count(), 0, kMaxRadius, "a view's radius_mm");
    require_within(view.start.count(), 0, kMaxTime, "a view's start_s");
    require_within(view.duration.count(), 0, kMaxTime, "a view's duration_s");
    require(view.detector < kMaxDetectors, "a view's detector is beyond " + std::to_string(kMaxDetectors - 1));
  }
}

void require_valid(const AcquisitionFacts& facts) {
  require(is_nuclide(facts.nuclide), "nuclide is not written as \"Tc-99m\"");
  require(is_collimator(facts.collimator), "collimator is not a word of 1 to 16 letters, digits, '+', '-'");
  if (facts.half_life) {
    require(facts.half_life->count() > 0 && within(facts.half_life->count(), 0, kMaxHalfLife),
            "half_life_s is not a positive number");
  }
  require(facts.windows.size() <= kMaxWindows,
          "there are more than " + std::to_string(kMaxWindows) + " energy windows");
  for (const EnergyWindow& window : facts.windows) {
    require(within(window.lower_kev, 0, kMaxEnergy) && within(window.upper_kev, 0, kMaxEnergy) &&
                window.lower_kev < window.upper_kev,
            "an energy window is not two rising numbers of keV");
  }
}

void require_valid(const VolumeGeometry& g) {
  require_side(g.columns, "columns");
  require_side(g.rows, "rows");
  require_side(g.slices, "slices");
  require_product(g.columns, g.rows, g.slices, "the volume");
  require_spacing(g.column_mm, "column_mm");
  require_spacing(g.row_mm, "row_mm");
  require_spacing(g.slice_mm, "slice_mm");
  require_within(g.x0.count(), -kMaxPosition, kMaxPosition, "x0_mm");
  require_within(g.y0.count(), -kMaxPosition, kMaxPosition, "y0_mm");
  require_within(g.z0.count(), -kMaxPosition, kMaxPosition, "z0_mm");
}

template <class Work>
Result<void> checked(const char* what, Work work) {
  try {
    work();
    return {};
  } catch (const Malformed& fault) {
    return Error{ErrorCode::BadInput, std::string(what) + ": " + fault.what};
  }
}

// ---- reading ----

void only(const json& object, std::initializer_list<const char*> names, const char* where) {
  require(object.is_object(), std::string(where) + " is not an object");
  for (const auto& item : object.items()) {
    const std::string& key = item.key();
    require(std::any_of(names.begin(), names.end(), [&key](const char* name) { return key == name; }),
            std::string(where) + " has an unknown member \"" + printable(key.substr(0, 40)) + "\"");
  }
}

const json& member(const json& object, const char* name) {
  const auto found = object.find(name);
  require(found != object.end(), std::string("member \"") + name + "\" is missing");
  return *found;
}

double number(const json& value, const char* name) {
  require(value.is_number(), std::string(name) + " is not a number");
  return value.get<double>();
}

std::size_t size(const json& object, const char* name) {
  const json& value = member(object, name);
  require(value.is_number_unsigned(), std::string(name) + " is not a whole number");
  const auto result = value.get<std::uint64_t>();
  require(result >= 1 && result <= kMaxSide, std::string(name) + " is not 1 to " + std::to_string(kMaxSide));
  return static_cast<std::size_t>(result);
}

Millimetres length(const json& object, const char* name) {
  return Millimetres(number(member(object, name), name));
}

std::string word(const json& object, const char* name) {
  const json& value = member(object, name);
  require(value.is_string(), std::string(name) + " is not text");
  return value.get<std::string>();
}

const json& list(const json& object, const char* name, std::size_t least, std::size_t most) {
  const json& value = member(object, name);
  require(value.is_array() && value.size() >= least && value.size() <= most,
          std::string(name) + " is not a list of " + std::to_string(least) + " to " + std::to_string(most));
  return value;
}

std::vector<View> read_views(const json& object) {
  only(object, {"angle_rad", "radius_mm", "start_s", "duration_s", "detector"}, "views");
  const json& angles = list(object, "angle_rad", 1, kMaxViews);
  const std::size_t n = angles.size();
  const json& radii = list(object, "radius_mm", n, n);
  const json& starts = list(object, "start_s", n, n);
  const json& durations = list(object, "duration_s", n, n);
  const json& detectors = list(object, "detector", n, n);
  std::vector<View> views(n);
  for (std::size_t k = 0; k < n; ++k) {
    views[k].angle = Radians(number(angles[k], "angle_rad"));
    views[k].radius = Millimetres(number(radii[k], "radius_mm"));
    views[k].start = Seconds(number(starts[k], "start_s"));
    views[k].duration = Seconds(number(durations[k], "duration_s"));
    require(detectors[k].is_number_unsigned() && detectors[k].get<std::uint64_t>() < kMaxDetectors,
            "detector is not a small whole number");
    views[k].detector = detectors[k].get<std::uint32_t>();
  }
  return views;
}

AcquisitionFacts read_facts(const json& object) {
  only(object, {"nuclide", "half_life_s", "windows_kev", "collimator", "counts"}, "facts");
  AcquisitionFacts facts;
  facts.nuclide = word(object, "nuclide");
  facts.collimator = word(object, "collimator");
  if (object.contains("half_life_s")) facts.half_life = Seconds(number(object["half_life_s"], "half_life_s"));
  for (const json& window : list(object, "windows_kev", 0, kMaxWindows)) {
    require(window.is_array() && window.size() == 2, "windows_kev is not a list of pairs");
    facts.windows.push_back({number(window[0], "windows_kev"), number(window[1], "windows_kev")});
  }
  const json& counts = member(object, "counts");
  require(counts.is_boolean(), "counts is not true or false");
  facts.counts = counts.get<bool>();
  return facts;
}

// The document with every object's members distinct, and nested no deeper than a header is.
json parse_strictly(std::string_view text) {
  require(text.size() <= kHeaderLimit, "longer than " + human_bytes(kHeaderLimit));
  std::vector<std::set<std::string>> open;
  const auto watch = [&open](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 8) throw Malformed{"nested too deeply"};
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      throw Malformed{"a member is there twice"};
    }
    return true;
  };
  json document = json::parse(text.begin(), text.end(), watch, false);
  require(!document.is_discarded(), "not JSON");
  return document;
}

void require_kind(const json& document, const char* kind) {
  require(word(document, "tomogrid") == kind, std::string("not \"") + kind + "\"");
}

template <class Header, class Read>
Result<Header> parse(const char* what, std::string_view text, Read read) {
  try {
    return read(parse_strictly(text));
  } catch (const Malformed& fault) {
    return Error{ErrorCode::BadInput, std::string(what) + " header: " + fault.what};
  } catch (const json::exception&) {  // a number out of range
    return Error{ErrorCode::BadInput, std::string(what) + " header: not JSON of the kind expected"};
  }
}

}  // namespace

bool is_nuclide(std::string_view word) {  // symbol, hyphen, mass number, perhaps a metastable mark
  if (word.empty()) return true;
  std::size_t i = 0;
  if (word[0] < 'A' || word[0] > 'Z') return false;
  if (++i < word.size() && word[i] >= 'a' && word[i] <= 'z') ++i;
  if (i >= word.size() || word[i++] != '-') return false;
  std::size_t digits = 0;
  while (i < word.size() && digit(word[i])) ++i, ++digits;
  if (i < word.size() && word[i] == 'm') ++i;
  return digits >= 1 && digits <= 3 && i == word.size();
}

bool is_collimator(std::string_view word) {
  return word.size() <= 16 &&
         std::all_of(word.begin(), word.end(), [](char c) { return letter(c) || digit(c) || c == '+' || c == '-'; });
}

Result<void> check(const ProjectionGeometry& geometry, const AcquisitionFacts& facts) {
  return checked("projections", [&] {
    require_valid(geometry);
    require_valid(facts);
  });
}

Result<void> check(const VolumeGeometry& geometry, const std::string& unit) {
  return checked("volume", [&] {
    require_valid(geometry);
    require(is_unit(unit), "unit is longer than 32 characters or has others than letters, digits and /%*^.-");
  });
}

std::string encode_header(const ProjectionGeometry& geometry, const AcquisitionFacts& facts) {
  TOMOGRID_ASSERT(check(geometry, facts).has_value());
  json views = {{"angle_rad", json::array()},
                {"radius_mm", json::array()},
                {"start_s", json::array()},
                {"duration_s", json::array()},
                {"detector", json::array()}};
  for (const View& view : geometry.views) {
    views["angle_rad"].push_back(view.angle.count());
    views["radius_mm"].push_back(view.radius.count());
    views["start_s"].push_back(view.start.count());
    views["duration_s"].push_back(view.duration.count());
    views["detector"].push_back(view.detector);
  }
  json physics = {{"nuclide", facts.nuclide},
                  {"collimator", facts.collimator},
                  {"counts", facts.counts},
                  {"windows_kev", json::array()}};
  if (facts.half_life) physics["half_life_s"] = facts.half_life->count();
  for (const EnergyWindow& w : facts.windows) physics["windows_kev"].push_back({w.lower_kev, w.upper_kev});
  return json{{"tomogrid", kProjectionsKind},
              {"bins", geometry.bins},
              {"rows", geometry.rows},
              {"bin_mm", geometry.bin_mm.count()},
              {"row_mm", geometry.row_mm.count()},
              {"u0_mm", geometry.u0.count()},
              {"v0_mm", geometry.v0.count()},
              {"views", std::move(views)},
              {"facts", std::move(physics)}}
      .dump();
}

std::string encode_header(const VolumeGeometry& g, const std::string& unit) {
  TOMOGRID_ASSERT(check(g, unit).has_value());
  return json{{"tomogrid", kVolumeKind},
              {"columns", g.columns},
              {"rows", g.rows},
              {"slices", g.slices},
              {"column_mm", g.column_mm.count()},
              {"row_mm", g.row_mm.count()},
              {"slice_mm", g.slice_mm.count()},
              {"x0_mm", g.x0.count()},
              {"y0_mm", g.y0.count()},
              {"z0_mm", g.z0.count()},
              {"unit", unit}}
      .dump();
}

Result<ProjectionsHeader> parse_projections_header(std::string_view text) {
  return parse<ProjectionsHeader>("projections", text, [](const json& document) {
    only(document, {"tomogrid", "bins", "rows", "bin_mm", "row_mm", "u0_mm", "v0_mm", "views", "facts"}, "the header");
    require_kind(document, kProjectionsKind);
    ProjectionsHeader header;
    header.geometry.bins = size(document, "bins");
    header.geometry.rows = size(document, "rows");
    header.geometry.bin_mm = length(document, "bin_mm");
    header.geometry.row_mm = length(document, "row_mm");
    header.geometry.u0 = length(document, "u0_mm");
    header.geometry.v0 = length(document, "v0_mm");
    header.geometry.views = read_views(member(document, "views"));
    header.facts = read_facts(member(document, "facts"));
    require_valid(header.geometry);
    require_valid(header.facts);
    return header;
  });
}

Result<VolumeHeader> parse_volume_header(std::string_view text) {
  return parse<VolumeHeader>("volume", text, [](const json& document) {
    only(
        document,
        {"tomogrid", "columns", "rows", "slices", "column_mm", "row_mm", "slice_mm", "x0_mm", "y0_mm", "z0_mm", "unit"},
        "the header");
    require_kind(document, kVolumeKind);
    VolumeHeader header;
    header.geometry = {.columns = size(document, "columns"),
                       .rows = size(document, "rows"),
                       .slices = size(document, "slices"),
                       .column_mm = length(document, "column_mm"),
                       .row_mm = length(document, "row_mm"),
                       .slice_mm = length(document, "slice_mm"),
                       .x0 = length(document, "x0_mm"),
                       .y0 = length(document, "y0_mm"),
                       .z0 = length(document, "z0_mm")};
    header.unit = word(document, "unit");
    require_valid(header.geometry);
    require(is_unit(header.unit), "unit is too long or has characters other than letters, digits and /%*^.-");
    return header;
  });
}

ByteView as_bytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

Result<std::vector<float>> floats_of(ByteView bytes, std::size_t count) {
  if (count > kMaxElements || bytes.size() != count * sizeof(float)) {
    return Error{ErrorCode::BadInput, "raw data: " + std::to_string(bytes.size()) + " bytes instead of " +
                                          std::to_string(count) + " float32 values"};
  }
  std::vector<float> values(count);
  if (count != 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace tomogrid::image
