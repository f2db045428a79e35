#include "image/stream_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tomogrid::image {
namespace {

ProjectionsHeader example() {
  ProjectionsHeader header;
  ProjectionGeometry& g = header.geometry;
  g.bins = 128, g.rows = 40;
  g.bin_mm = Millimetres(3.32), g.row_mm = Millimetres(1.0 / 3.0);
  g.u0 = Millimetres(-210.82), g.v0 = Millimetres(-64.74);
  for (std::uint32_t k = 0; k < 5; ++k) {
    g.views.push_back({.angle = Radians(0.1 * k + 1e-17),
                       .radius = Millimetres(150 + 0.1 * k),
                       .start = Seconds(30.0 * k),
                       .duration = Seconds(30),
                       .detector = k % 2});
  }
  header.facts = {.nuclide = "Tc-99m",
                  .half_life = Seconds(21624.12),
                  .windows = {{126.45, 154.55}},
                  .collimator = "LEHR",
                  .counts = true};
  return header;
}

VolumeHeader example_volume() {
  return {centred_grid(3, 4, 5, Millimetres(4.42), Millimetres(0.1), Millimetres(1.0 / 7.0)), "counts/voxel/view"};
}

std::string text(const ProjectionsHeader& header) {
  return encode_header(header.geometry, header.facts);
}

TEST(StreamFormat, HeadersComeBackBitForBit) {
  EXPECT_EQ(parse_projections_header(text(example())).value(), example());
  EXPECT_EQ(parse_volume_header(encode_header(example_volume().geometry, example_volume().unit)).value(),
            example_volume());
}

TEST(StreamFormat, AnyFiniteDoubleComesBackExactly) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> angle(-900, 900);
  ProjectionsHeader header = example();
  for (int i = 0; i < 2000; ++i) {
    header.geometry.views[0].angle = Radians(angle(random));
    header.geometry.u0 = Millimetres(std::ldexp(angle(random), -40));
    ASSERT_EQ(parse_projections_header(text(header)).value(), header);
  }
}

TEST(StreamFormat, UnknownFactsAreOptional) {
  ProjectionsHeader header = example();
  header.facts = {.nuclide = "", .half_life = {}, .windows = {}, .collimator = "", .counts = false};
  EXPECT_EQ(parse_projections_header(text(header)).value(), header);
}

TEST(StreamFormat, ThereIsNoPlaceForOtherMembers) {
  std::string json = text(example());
  for (const char* extra : {R"("patient":"x",)", R"("date":"20260101",)", R"("bins":1,)"}) {
    const std::string changed = "{" + std::string(extra) + json.substr(1);
    EXPECT_FALSE(parse_projections_header(changed).has_value()) << extra;
  }
  const std::size_t facts = json.find("\"facts\":{") + 9;
  json.insert(facts, R"("name":"x",)");
  const auto refused = parse_projections_header(json);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("unknown member"), std::string::npos) << refused.error().message;
}

TEST(StreamFormat, WordsThatCouldCarryANameDoNotTravel) {
  for (const char* word : {"Doe^John", "1970-01-01", "Tc-99m John", "Tc-99mm", "tc-99m", "Tc", "Tc-", "Tc-1234"}) {
    ProjectionsHeader header = example();
    header.facts.nuclide = word;
    EXPECT_FALSE(check(header.geometry, header.facts).has_value()) << word;
  }
  for (const char* word : {"LEHR of room 3", "Doe^John", "aaaaaaaaaaaaaaaaa"}) {
    ProjectionsHeader header = example();
    header.facts.collimator = word;
    EXPECT_FALSE(check(header.geometry, header.facts).has_value()) << word;
  }
  EXPECT_FALSE(check(example_volume().geometry, "Patient: Doe").has_value());
}

TEST(StreamFormat, WrongNumbersAreRefusedByName) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, void (*)(ProjectionsHeader&, double)>> cases{
      {"bin_mm", [](ProjectionsHeader& h, double) { h.geometry.bin_mm = Millimetres(0); }},
      {"row_mm", [](ProjectionsHeader& h, double) { h.geometry.row_mm = Millimetres(-1); }},
      {"u0_mm", [](ProjectionsHeader& h, double n) { h.geometry.u0 = Millimetres(n); }},
      {"angle_rad", [](ProjectionsHeader& h, double n) { h.geometry.views[1].angle = Radians(n); }},
      {"radius_mm", [](ProjectionsHeader& h, double) { h.geometry.views[1].radius = Millimetres(-1); }},
      {"duration_s", [](ProjectionsHeader& h, double) { h.geometry.views[1].duration = Seconds(1e300); }},
      {"bins", [](ProjectionsHeader& h, double) { h.geometry.bins = 4097; }},
      {"views", [](ProjectionsHeader& h, double) { h.geometry.views.resize(4097); }},
      {"elements",
       [](ProjectionsHeader& h, double) {
         h.geometry.bins = h.geometry.rows = 4096;
         h.geometry.views.resize(65);
       }},
      {"energy window", [](ProjectionsHeader& h, double) { h.facts.windows[0].lower_kev = 200; }},
      {"half_life_s", [](ProjectionsHeader& h, double) { h.facts.half_life = Seconds(0); }}};
  for (const auto& [name, spoil] : cases) {
    ProjectionsHeader header = example();
    spoil(header, nan);
    const auto sound = check(header.geometry, header.facts);
    ASSERT_FALSE(sound.has_value()) << name;
    EXPECT_NE(sound.error().message.find(name), std::string::npos) << sound.error().message;
  }
}

TEST(StreamFormat, HugeSizesAreRefusedFromTheHeaderAlone) {
  std::string json = text(example());
  json.replace(json.find("\"bins\":128"), 10, "\"bins\":18446744073709551615");
  EXPECT_FALSE(parse_projections_header(json).has_value());
  json = text(example());
  json.replace(json.find("\"bins\":128"), 10, "\"bins\":-1");
  EXPECT_FALSE(parse_projections_header(json).has_value());
  json = text(example());
  json.replace(json.find("\"bins\":128"), 10, "\"bins\":1e400");
  EXPECT_FALSE(parse_projections_header(json).has_value());
  EXPECT_FALSE(parse_projections_header(std::string(kHeaderLimit + 1, ' ')).has_value());
  EXPECT_FALSE(parse_projections_header(std::string(100000, '[')).has_value());
}

TEST(StreamFormat, EveryTruncationAndBitFlipIsSafe) {
  const std::string json = text(example());
  for (std::size_t length = 0; length < json.size(); ++length) {
    EXPECT_FALSE(parse_projections_header(json.substr(0, length)).has_value()) << length;
  }
  for (std::size_t bit = 0; bit < json.size() * 8; ++bit) {
    std::string flipped = json;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto parsed = parse_projections_header(flipped);
    EXPECT_TRUE(!parsed || check(parsed->geometry, parsed->facts).has_value()) << bit;
  }
}

TEST(StreamFormat, AVolumeIsNotAScan) {
  EXPECT_FALSE(parse_volume_header(text(example())).has_value());
  EXPECT_FALSE(parse_projections_header(encode_header(example_volume().geometry, "1/mm")).has_value());
}

TEST(StreamFormat, RawDataAreExactlyTheFloats) {
  const std::vector<float> values{0.0F, 1.5F, -3e-39F, 65535.0F};
  const ByteView bytes = as_bytes(values);
  ASSERT_EQ(bytes.size(), 16u);
  EXPECT_EQ(bytes[6], 0xC0);  // 1.5F is 0x3FC00000, little endian
  EXPECT_EQ(bytes[7], 0x3F);
  EXPECT_EQ(floats_of(bytes, 4).value(), values);
  EXPECT_FALSE(floats_of(bytes, 3).has_value());
  EXPECT_FALSE(floats_of(bytes.subspan(1), 4).has_value());
  EXPECT_TRUE(floats_of({}, 0).value().empty());
  EXPECT_EQ(data_bytes(example().geometry).count(), 128u * 40 * 5 * 4);
}

}  // namespace
}  // namespace tomogrid::image
