// What survives the node's process: DESIGN section 7 as a table of tests.
#include <gtest/gtest.h>

#include "world.h"

namespace tomogrid::node::test {
namespace {

using job::JobState;

const wire::JobKey kKey{members().alice->member(), job_id(1)};

ScratchFact held(bool whole_input, bool output = false) {
  ScratchFact fact{kKey, {}, {}};
  if (whole_input)
    fact.inputs.push_back({"scan.f32", 1000, {{0, 1000}}, digest(1)});
  else
    fact.inputs.push_back({"scan.f32", 1000, {{0, 256}, {512, 600}}, std::nullopt});
  if (output) fact.outputs.push_back({"volume.f32", Bytes(64), digest(9)});
  return fact;
}

struct Recovery : ::testing::Test {
  World world;
  wire::Peer alice = world.connect(*members().alice);
  void open_and_run() {
    world.say(alice, world.open(1));
    world.send_input(alice, 1);
  }
  void restart(const std::vector<ScratchFact>& scratch) {
    world.restart(scratch);
    world.capacity(8, gibibytes(16), gibibytes(8));
    world.forget();
    alice = world.connect(*members().alice);
  }
};

TEST_F(Recovery, RunningJobWithWholeInputRunsAgain) {
  open_and_run();
  world.restart({held(true)});
  EXPECT_TRUE(world.workers.empty()) << "not before capacity is known";
  world.capacity(8, gibibytes(16), gibibytes(8));
  EXPECT_EQ(world.workers.size(), 1U);
  alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Running);
  world.worker_succeeds(kKey);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Finished);
}

TEST_F(Recovery, HalfAnInputIsResumed) {
  world.say(alice, world.open(1));
  world.say(alice, wire::StreamOffer{{job_id(1), "scan.f32", 0}, 1, 1000});
  world.feed(wire::RangeStored{alice.id, {job_id(1), "scan.f32", 0}, 0, 256});
  restart({held(false)});
  EXPECT_EQ(world.state(kKey), JobState::Queued);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U) << "no cores while its opener is away";
  world.say(alice, world.open(1));
  EXPECT_EQ(world.node->advert(world.now).cores_free, 6U);
  world.send_input(alice, 1);
  EXPECT_EQ(world.workers.size(), 1U);
}

TEST_F(Recovery, StreamedJobHearsAgainWhatIsStored) {
  world.say(alice, world.open(1, 1000, "qa.test/1"));
  restart({held(false)});
  world.say(alice, world.open(1, 1000, "qa.test/1"));
  const auto told = world.effects_of<wire::TellWorker>();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].line, job::ToWorker(job::InputAvailable{"scan.f32", 512, 88}));
}

TEST_F(Recovery, LostScratchFailsTheJobElsewhere) {
  open_and_run();
  restart({});
  world.say(alice, wire::Attach{job_id(1)});
  const auto status = world.last<wire::JobStatus>(alice);
  EXPECT_EQ(status.state, JobState::Failed);
  EXPECT_EQ(status.failure->code, "lost");
  EXPECT_EQ(status.failure->retry, job::Retry::Elsewhere);
}

TEST_F(Recovery, AlteredInputIsNotComputedFrom) {
  open_and_run();
  auto scratch = held(true);
  scratch.inputs[0].root = digest(2);
  restart({scratch});
  EXPECT_EQ(world.node->find(kKey)->failure->code, "lost");
  EXPECT_TRUE(world.workers.empty());
}

TEST_F(Recovery, FinishedResultIsStillThereWithItsReceiptAndExpiry) {
  open_and_run();
  world.worker_succeeds(kKey);
  const auto before = world.last<wire::JobStatus>(alice);
  world.pass(std::chrono::hours(1));
  restart({held(true, true)});
  world.say(alice, wire::Attach{job_id(1)});
  EXPECT_EQ(world.last<wire::JobStatus>(alice).receipt, before.receipt);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).expires, before.expires);
  world.say(alice, wire::Fetch{job_id(1), "volume.f32"});
  EXPECT_EQ(world.effects_of<wire::SendStream>().size(), 1U);
  world.pass(std::chrono::hours(23) + std::chrono::seconds(1));
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
}

TEST_F(Recovery, FinishedResultThatIsGoneOrAlteredIsSaidToBeLost) {
  open_and_run();
  world.worker_succeeds(kKey);
  auto scratch = held(true, true);
  scratch.outputs[0].root = digest(8);
  restart({scratch});
  world.say(alice, wire::Attach{job_id(1)});
  EXPECT_EQ(world.last<wire::JobStatus>(alice).failure->code, "lost");
  EXPECT_FALSE(world.last<wire::JobStatus>(alice).receipt.has_value());
}

TEST_F(Recovery, CollectedWithoutWipedIsWipedAgain) {
  open_and_run();
  world.worker_succeeds(kKey);
  // The crash falls between the row "collected" and the row "wiped": the pass is performed, the next never comes.
  JobRecord record = *world.node->find(kKey);
  record.collected = true;
  world.journal[{kJobTable, row_key(kKey)}] = encode(record).body;
  world.restart({held(true, true)});
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
  EXPECT_TRUE(world.node->find(kKey)->wiped);
  alice = world.connect(*members().alice);
  world.say(alice, wire::Collected{job_id(1)});
  EXPECT_EQ(world.sent<wire::Wiped>(alice).size(), 1U);
}

TEST_F(Recovery, WipedJobIsRememberedAndNotRunAgain) {
  open_and_run();
  world.worker_succeeds(kKey);
  world.say(alice, wire::Collected{job_id(1)});
  restart({});
  world.say(alice, world.open(1));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Finished);
  EXPECT_TRUE(world.effects_of<wire::StartWorker>().empty());
  auto other = world.open(1);
  other.parameters["iterations"] = std::int64_t{3};
  world.say(alice, other);
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).code, "conflict");
}

TEST_F(Recovery, CheckpointIsUsedWhenItIsStillThere) {
  open_and_run();
  world.feed(wire::WorkerSaid{kKey, job::CheckpointReady{"checkpoint", 4}});
  auto scratch = held(true);
  scratch.outputs.push_back({"checkpoint", Bytes(5), digest(4)});
  restart({scratch});
  EXPECT_EQ(world.node->find(kKey)->checkpoint, "checkpoint");
  world.restart({held(true)});
  EXPECT_EQ(world.node->find(kKey)->checkpoint, "");
}

TEST_F(Recovery, DamagedRowIsReportedAndTheOthersServe) {
  open_and_run();
  world.journal[{kJobTable, "nonsense"}] = "{";
  world.journal[{kJobTable, row_key({members().bob->member(), job_id(2)})}] = R"({"service":"x"})";
  restart({held(true)});
  EXPECT_NE(world.node->find(kKey), nullptr);
}

TEST_F(Recovery, OldestWipedJobsAreForgotten) {
  NodeOptions options;
  options.remembered_max = 3;
  World small(options);
  const auto peer = small.connect(*members().alice);
  for (std::uint8_t i = 1; i <= 5; ++i) {
    small.say(peer, small.open(i));
    small.say(peer, wire::CancelJob{job_id(i)});
  }
  EXPECT_EQ(small.node->find(World::key(*members().alice, 1)), nullptr);
  EXPECT_NE(small.node->find(World::key(*members().alice, 5)), nullptr);
  EXPECT_EQ(small.journal.size(), 3U);
}

}  // namespace
}  // namespace tomogrid::node::test
