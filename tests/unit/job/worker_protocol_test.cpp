#include "job/worker_protocol.h"

#include <gtest/gtest.h>

namespace tomogrid::job {
namespace {

TEST(WorkerProtocol, EveryLineSurvivesARoundTrip) {
  const std::vector<ToWorker> down{InputAvailable{"projections.f32", 4096, 8192}, InputComplete{"projections.f32"}, Cancel{}, CheckpointNow{}};
  for (const ToWorker& line : down) EXPECT_EQ(parse_to_worker(encode(line)).value(), line);
  const std::vector<FromWorker> up{Progress{"iterate", 0.25, Seconds(3.5), 2, 8}, Progress{"plan", 0.0, std::nullopt, 0, 0},
                                   PreviewReady{"preview.png", "iteration 2"}, CheckpointReady{"checkpoint", 4},
                                   Notice{"truncated-map", "12 rows"}, WorkerFailed{{"bad-input", "bins 0", Retry::Never}}};
  for (const FromWorker& line : up) EXPECT_EQ(parse_from_worker(encode(line)).value(), line);
}

TEST(WorkerProtocol, WorkOrderSurvivesARoundTrip) {
  WorkOrder order;
  order.job.bytes[0] = 7;
  order.service = {"recon.spect", 1};
  order.parameters = {{"iterations", std::int64_t{10}}, {"filter-fwhm", 0.1}, {"fresh", true}, {"algorithm", std::string("osem")}};
  order.grant = {2, mebibytes(512), mebibytes(64)};
  order.inputs = {{"projections.f32", Bytes(42), {}}};
  order.inputs[0].root[31] = 9;
  EXPECT_EQ(parse_work_order(encode(order)).value(), order);
}

TEST(WorkerProtocol, EveryTruncationIsRefused) {
  const std::string line = encode(FromWorker(Progress{"iterate", 0.25, Seconds(3.5), 2, 8}));
  for (std::size_t length = 0; length < line.size(); ++length) {
    EXPECT_FALSE(parse_from_worker(line.substr(0, length)).has_value()) << length;
  }
}

TEST(WorkerProtocol, HostileLinesAreRefused) {
  for (const char* line : {"[]", "{}", "{\"event\":\"progress\",\"stage\":\"x\",\"fraction\":1.5,\"step\":0,\"steps\":0}",
                           "{\"event\":\"preview\",\"name\":\"../../etc/passwd\",\"caption\":\"\"}",
                           "{\"event\":\"preview\",\"name\":\".part\",\"caption\":\"\"}", "{\"event\":\"nothing\"}",
                           "{\"event\":\"notice\",\"code\":\"a\",\"message\":\"\xC3\"}"}) {
    EXPECT_FALSE(parse_from_worker(line).has_value()) << line;
  }
  EXPECT_FALSE(parse_from_worker(std::string(kWorkerLineLimit + 1, ' ')).has_value());
  EXPECT_FALSE(parse_to_worker(R"({"event":"input","name":"a","offset":18446744073709551615,"length":2})").has_value());
}

TEST(WorkerProtocol, ControlCharactersNeverReachATerminal) {
  const auto line = parse_from_worker(R"({"event":"notice","code":"a","message":"\u001b[31mred\u009b"})");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(std::get<Notice>(*line).message, "[31mred");
}

}  // namespace
}  // namespace tomogrid::job
