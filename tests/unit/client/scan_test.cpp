// What leaves and what stays: the request is built from values, and the identity comes back only here.
#include "client/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "certs/content_hash.h"
#include "client/deliver.h"
#include "image/phantom.h"
#include "image/stream_format.h"
#include "wire/messages.h"

namespace tomogrid::client {
namespace {

constexpr const char* kName = "Beeblebrox^Zaphod";
constexpr const char* kId = "PID-4711";

std::filesystem::path make_scan(const std::filesystem::path& folder) {
  image::Projections scan;
  scan.geometry = image::circular_scan(16, 8, Millimetres(4), Millimetres(4), {.views = 12});
  scan.values.resize(scan.geometry.elements());
  for (std::size_t i = 0; i < scan.values.size(); ++i) scan.values[i] = static_cast<float>(i % 17);
  const auto path = folder / "beeblebrox-scan.dcm";
  image::save_scan(path, scan, {.patient_name = kName, .patient_id = kId}).or_throw();
  return path;
}

std::string content_of(const InputStream& input) {
  ByteString bytes(input.content->length());
  input.content->read(0, bytes).or_throw();
  return std::string(text_of(bytes));
}

std::string all_bytes(const PreparedScan& scan) {
  std::string all;
  for (const InputStream& input : *scan.inputs) all += input.name + content_of(input);
  return all;
}

TEST(Scan, NothingThatNamesThePatientIsInAStream) {
  TemporaryFolder folder;
  const auto path = make_scan(folder.path());
  const PreparedScan scan = prepare_scan(path, {}, std::nullopt).or_throw();
  ASSERT_FALSE(scan.identity.empty());
  const std::string bytes = all_bytes(scan) + scan.description;
  for (const char* mark : {"Beeblebrox", kId, "beeblebrox", "1.2.826"})
    EXPECT_EQ(bytes.find(mark), std::string::npos) << mark;
  const auto identity = scan.identity.serialise();
  EXPECT_NE(text_of(identity).find("Beeblebrox"), std::string_view::npos) << "the mark is one that could be found";
}

TEST(Scan, StreamsHaveTheNamesOfTheService) {
  TemporaryFolder folder;
  const PreparedScan scan = prepare_scan(make_scan(folder.path()), {}, std::nullopt).or_throw();
  ASSERT_EQ(scan.facts.size(), 2U);
  EXPECT_EQ(scan.facts[0].name, "projections.json");
  EXPECT_EQ(scan.facts[1].name, "projections.f32");
  EXPECT_EQ(scan.facts[1].length, Bytes(16 * 8 * 12 * 4));
  EXPECT_EQ(scan.facts[1].root, certs::content_hash(bytes_of(content_of((*scan.inputs)[1]))));
  EXPECT_TRUE(image::parse_projections_header(content_of((*scan.inputs)[0])));
}

TEST(Scan, ScatterWindowsAreStreamsNamedByTheSideTheyLieOn) {
  TemporaryFolder folder;
  image::Projections peak = image::load_scan(make_scan(folder.path())).or_throw().projections;
  peak.facts.windows = {{126, 154}};
  image::Projections below = peak, above = peak;
  below.facts.windows = {{92, 125}};
  above.facts.windows = {{155, 165}};
  const auto path = folder.path() / "windows.dcm";
  image::save_scan(path, peak, {}, std::vector{above, below}).or_throw();
  const auto names = [](const PreparedScan& scan) {
    std::set<std::string> all;
    for (const job::StreamFact& fact : scan.facts) all.insert(fact.name);
    return all;
  };
  image::LoadOptions first;
  first.window = 1;
  const auto both = prepare_scan(path, first, std::nullopt, {{path, 2}, {path, 3}});
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(names(*both), (std::set<std::string>{"projections.json", "projections.f32", "scatter-lower.json",
                                                 "scatter-lower.f32", "scatter-upper.json", "scatter-upper.f32"}));
  const auto one = prepare_scan(path, first, std::nullopt, {{path, 3}}).or_throw();
  EXPECT_EQ(names(one).count("scatter-upper.json"), 0U);
  EXPECT_EQ(prepare_scan(path, first, std::nullopt, {{path, 3}, {path, 3}}).error().code, ErrorCode::Usage);
  EXPECT_EQ(prepare_scan(path, first, std::nullopt, {{path, 1}}).error().code, ErrorCode::BadInput)
      << "it covers the photopeak";
}

TEST(Scan, TheSameIntegersAsInterfileAreTheSameStreams) {
  TemporaryFolder folder;
  const auto dicom = make_scan(folder.path());
  const auto interfile = folder.path() / "scan.hs";
  image::save_scan(interfile, image::load_scan(dicom).or_throw().projections).or_throw();
  const auto one = prepare_scan(dicom, {}, std::nullopt).or_throw(),
             other = prepare_scan(interfile, {}, std::nullopt).or_throw();
  EXPECT_EQ(one.facts[1], other.facts[1]);
}

// A transfer reads in pieces that begin and end anywhere, and the user may tidy up meanwhile.
TEST(Scan, AnInterfileIsReadFromItsDataFilePieceByPiece) {
  TemporaryFolder folder;
  const image::Projections loaded = image::load_scan(make_scan(folder.path())).or_throw().projections;
  image::save_scan(folder.path() / "scan.hs", loaded).or_throw();
  const auto scan = prepare_scan(folder.path() / "scan.hs", {}, std::nullopt).or_throw();
  std::filesystem::remove(folder.path() / "scan.s");
  const wire::StreamSource& content = *(*scan.inputs)[1].content;
  const ByteView whole = image::as_bytes(loaded.values);
  ASSERT_EQ(content.length(), whole.size());
  for (const auto& [offset, size] : std::vector<std::pair<std::size_t, std::size_t>>{
           {0, whole.size()}, {1, 1}, {3, 7}, {510, 4000}, {whole.size() - 5, 5}, {whole.size(), 0}}) {
    ByteString part(size);
    ASSERT_TRUE(content.read(offset, part));
    EXPECT_EQ(part, ByteString(whole.begin() + static_cast<std::ptrdiff_t>(offset),
                               whole.begin() + static_cast<std::ptrdiff_t>(offset + size)))
        << offset;
  }
  ByteString beyond(6);
  EXPECT_FALSE(content.read(whole.size() - 5, beyond));
}

TEST(Scan, ADataFileThatShrinksIsAnError) {
  TemporaryFolder folder;
  image::save_scan(folder.path() / "scan.hs", image::load_scan(make_scan(folder.path())).or_throw().projections)
      .or_throw();
  const auto scan = prepare_scan(folder.path() / "scan.hs", {}, std::nullopt).or_throw();
  std::filesystem::resize_file(folder.path() / "scan.s", 100);
  ByteString part(1000);
  EXPECT_EQ((*scan.inputs)[1].content->read(0, part).error().code, ErrorCode::BadInput);
}

TEST(Scan, ViewsGoInBitReversedOrderEachOnce) {
  const auto order = bit_reversed(6, 600);
  ASSERT_EQ(order.size(), 6U);
  EXPECT_EQ(order[0].first, 0U);
  EXPECT_EQ(order[1].first, 400U);  // 0, 4, 2, 1, 5, 3
  EXPECT_EQ(order[2].first, 200U);
  std::set<std::uint64_t> seen;
  for (const auto& [begin, end] : order) {
    EXPECT_EQ(end - begin, 100U);
    seen.insert(begin);
  }
  EXPECT_EQ(seen.size(), 6U);
  EXPECT_TRUE(bit_reversed(1, 100).empty());
  for (const std::size_t views : {2U, 3U, 7U, 60U, 120U, 128U}) {
    const auto all = bit_reversed(views, views * 8);
    std::set<std::uint64_t> begins;
    for (const auto& range : all) begins.insert(range.first);
    EXPECT_EQ(begins.size(), views);
  }
}

TEST(Scan, NeedsGrowWithTheScan) {
  TemporaryFolder folder;
  PreparedScan scan = prepare_scan(make_scan(folder.path()), {}, std::nullopt).or_throw();
  const job::Needs small = recon_needs(scan, 3, 4);
  scan.volume = scan.volume * 8;
  const job::Needs large = recon_needs(scan, 3, 4);
  EXPECT_EQ(small.cores_max, 3U);
  EXPECT_GT(large.memory, small.memory);
  EXPECT_GT(large.scratch, small.scratch);
  EXPECT_GT(large.work.count(), small.work.count());
  EXPECT_GE(small.scratch, scan.facts[1].length);
}

TEST(Scan, AFileThatIsNoScanSaysWhy) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_file(folder.path() / "x.dcm", bytes_of("garbage")));
  EXPECT_EQ(prepare_scan(folder.path() / "x.dcm", {}, std::nullopt).error().code, ErrorCode::BadInput);
  EXPECT_EQ(prepare_scan(folder.path() / "absent.dcm", {}, std::nullopt).error().code, ErrorCode::NotFound);
}

// ---- delivery

class Deliver : public ::testing::Test {
 protected:
  void SetUp() override {
    scan = prepare_scan(make_scan(folder.path()), {}, std::nullopt).or_throw();
    volume.geometry = image::centred_grid(16, 16, 8, Millimetres(4), Millimetres(4), Millimetres(4));
    volume.values.assign(volume.geometry.voxels(), 0.5F);
    volume.values[77] = 3.25F;
    volume.unit = "counts/voxel/view";
    record.attempts.push_back({job::JobId{{5}}, {}, "alpha", {}, std::nullopt, AttemptState::Accepted, "", {}});
    record.winner = 0;
    put("volume.json", image::encode_header(volume.geometry, volume.unit));
    put("volume.f32", std::string(text_of(image::as_bytes(volume.values))));
    wire::Receipt receipt;
    receipt.federation = "test";
    receipt.service = kReconService;
    receipt.parameters = "{}";
    receipt.outputs = record.outputs;
    record.receipt = KeptReceipt{{"receipt", wire::encode_body(receipt), {}}, {}};
    delivery.identity = scan.identity.serialise();
    delivery.receipt = (folder.path() / "v.receipt").string();
  }
  void put(const std::string& name, const std::string& content) {
    const auto path = streams.path({record.attempts[0].job, name, 0});
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(write_file(path, bytes_of(content)));
    record.outputs.push_back({name, Bytes(content.size()), certs::content_hash(bytes_of(content))});
  }
  TemporaryFolder folder;
  Streams streams{folder.path() / "spool"};
  PreparedScan scan;
  image::Volume volume;
  Record record;
  Delivery delivery;
};

TEST_F(Deliver, WritesEveryFormatAndTheReceipt) {
  for (const char* name : {"v.nii.gz", "v.nii", "v.hv", "v.dcm", "v.png"})
    delivery.outputs.push_back((folder.path() / name).string());
  ASSERT_TRUE(can_deliver(delivery));
  ASSERT_TRUE(outputs_are_here(streams, record));
  const auto written = deliver(streams, record, "alpha", delivery);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->size(), 6U);
  for (const char* name : {"v.nii.gz", "v.nii", "v.hv"}) {  // what tomogrid verify relies on
    const auto back = image::load_volume(folder.path() / name, volume.unit);
    ASSERT_TRUE(back) << name << ": " << back.error().message;
    EXPECT_EQ(back->values, volume.values) << name;
  }
}

TEST_F(Deliver, StandardDeviationsLieBesideTheFirstOutput) {
  put("deviation.json", image::encode_header(volume.geometry, volume.unit));
  image::Volume deviation = volume;
  deviation.values[5] = 1.5F;
  put("deviation.f32", std::string(text_of(image::as_bytes(deviation.values))));
  for (const auto& [output, expected] : std::vector<std::pair<std::string, std::string>>{
           {"a.nii.gz", "a.deviation.nii.gz"}, {"b.hv", "b.deviation.hv"}, {"c.dcm", "c.deviation.nii.gz"}}) {
    delivery.outputs = {(folder.path() / output).string()};
    const auto written = deliver(streams, record, "alpha", delivery);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(written->at(1), (folder.path() / expected).string());
    EXPECT_EQ(image::load_volume(written->at(1)).or_throw().values, deviation.values);
  }
}

TEST_F(Deliver, WhatWasComputedLiesBesideTheFirstOutput) {
  put("passport.json", "{\n  \"unit\": \"counts\"\n}\n");
  for (const auto& [output, expected] : std::vector<std::pair<std::string, std::string>>{
           {"a.nii.gz", "a.passport.json"}, {"b.one.hv", "b.one.passport.json"}, {"c.dcm", "c.passport.json"}}) {
    delivery.outputs = {(folder.path() / output).string()};
    const auto written = deliver(streams, record, "alpha", delivery);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(written->at(1), (folder.path() / expected).string());
  }
  const auto text = [&] {
    EXPECT_TRUE(deliver(streams, record, "alpha", delivery));
    return nlohmann::json::parse(text_of(read_file(folder.path() / "c.passport.json", mebibytes(1)).or_throw()));
  };
  EXPECT_EQ(text(), (nlohmann::json{{"unit", "counts"}}));
  put("run.json", "{\"threads\": 2}\n");
  EXPECT_EQ(text(), (nlohmann::json{{"unit", "counts"}, {"run", {{"threads", 2}}}}));
  put("run.json", "1} , {");
  EXPECT_EQ(text(), (nlohmann::json{{"unit", "counts"}})) << "what does not fit is left out";
  put("passport.json", std::string(1 << 20, '['));
  EXPECT_FALSE(deliver(streams, record, "alpha", delivery)) << "and does not overflow the stack";
}

TEST_F(Deliver, PutsTheIdentityBackIntoDicomAndNowhereElse) {
  for (const char* name : {"v.nii", "v.dcm"}) delivery.outputs.push_back((folder.path() / name).string());
  ASSERT_TRUE(deliver(streams, record, "alpha", delivery));
  const auto holds = [this](const char* name) {
    const auto content = read_file(folder.path() / name, mebibytes(16)).or_throw();
    return text_of(content).find(kName) != std::string_view::npos;
  };
  EXPECT_TRUE(holds("v.dcm"));
  EXPECT_FALSE(holds("v.nii"));
  EXPECT_FALSE(holds("v.receipt"));
}

TEST_F(Deliver, AContradictionBetweenHeaderAndDataIsRefused) {
  record.outputs.clear();
  put("volume.json", image::encode_header(
                         image::centred_grid(16, 16, 9, Millimetres(4), Millimetres(4), Millimetres(4)), volume.unit));
  put("volume.f32", std::string(text_of(image::as_bytes(volume.values))));
  delivery.outputs = {(folder.path() / "v.nii").string()};
  EXPECT_EQ(deliver(streams, record, "alpha", delivery).error().code, ErrorCode::BadInput);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "v.nii"));
  EXPECT_FALSE(std::filesystem::exists(delivery.receipt));
}

TEST_F(Deliver, MissingPartsOfTheSpoolAreNoticed) {
  std::filesystem::resize_file(streams.path({record.attempts[0].job, "volume.f32", 0}), 10);
  EXPECT_FALSE(outputs_are_here(streams, record));
}

TEST_F(Deliver, WhatCannotBeWrittenIsSaidBeforehand) {
  delivery.outputs = {(folder.path() / "v.jpg").string()};
  EXPECT_FALSE(can_deliver(delivery));
  delivery.outputs = {(folder.path() / "absent" / "v.nii").string()};
  EXPECT_EQ(can_deliver(delivery).error().code, ErrorCode::NotFound);
}

}  // namespace
}  // namespace tomogrid::client
