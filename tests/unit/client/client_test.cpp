#include "client/client.h"

#include <gtest/gtest.h>

#include "world.h"

namespace tomogrid::client {
namespace {

using namespace std::chrono_literals;
using testing::FakeNode;
using testing::World;

// From the start to a verified result, delivered and closed.
void expect_delivered(World& world, const std::string& node) {
  const auto verified = world.all<ResultVerified>();
  ASSERT_EQ(verified.size(), 1U) << world.story();
  EXPECT_EQ(verified[0].node, node);
  world.deliver(verified[0].job);
  world.advance(world.options().farewell + 1s);  // a node that is out of reach is waited for so long
  const auto ended = world.all<Ended>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_FALSE(ended[0].error) << ended[0].error->message;
  EXPECT_EQ(world.record(verified[0].job).state, RecordState::Closed);
}

// Ended without a result, and nothing was ever shown as verified.
Ended expect_refused(const World& world) {
  EXPECT_TRUE(world.all<ResultVerified>().empty());
  const auto ended = world.all<Ended>();
  EXPECT_EQ(ended.size(), 1U) << world.story();
  if (ended.empty() || !ended[0].error) return {};
  return ended[0];
}

TEST(Client, PlacesSendsFetchesAndTellsTheNodeOnlyAfterDelivery) {
  World world;
  world.start();
  world.submit(world.request());
  ASSERT_EQ(world.all<ResultVerified>().size(), 1U);
  EXPECT_EQ(world.a().collects, 0U) << "the node may forget the result before it is on the user's disk";
  expect_delivered(world, "a");
  EXPECT_EQ(world.a().collects, 1U);
  EXPECT_EQ(world.b().opens, 0U);
}

TEST(Client, AnAttemptIsInTheJournalBeforeItIsOpened) {
  World world;
  world.start();
  world.submit(world.request());
  const auto open = std::find(world.order.begin(), world.order.end(), "open");
  ASSERT_NE(open, world.order.end());
  EXPECT_EQ(std::count(world.order.begin(), open, "persist job"), 2);  // the job, then its attempt
}

TEST(Client, NothingIsOpenedWhenTheJournalCannotBeWritten) {
  World world;
  world.start();
  world.journal_fails = true;
  world.submit(world.request());
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Storage);
  EXPECT_EQ(world.a().opens + world.b().opens, 0U);
}

TEST(Client, ARefusalWithoutRoomAsksAgainWithThatNodeExcluded) {
  World world;
  world.a().refuse = "capacity";
  world.start();
  world.submit(world.request());
  ASSERT_GE(world.places.size(), 2U);
  EXPECT_EQ(world.places[1].excluded, std::vector{world.a().identity->member()});
  expect_delivered(world, "b");
}

TEST(Client, BusyIsNeverAnError) {
  World world;
  world.a().refuse = world.b().refuse = "capacity";
  world.start();
  world.submit(world.request());
  world.advance(10min);
  EXPECT_TRUE(world.all<Ended>().empty());
  world.b().refuse.clear();
  world.advance(1min);
  expect_delivered(world, "b");
}

TEST(Client, ARefusalForGoodEndsTheJob) {
  World world;
  world.a().refuse = "parameters";
  world.a().refuse_retry = job::Retry::Never;
  world.start();
  world.submit(world.request());
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Usage);
  EXPECT_EQ(world.b().opens, 0U);
}

TEST(Client, ANodeThatDiesWhileReceivingIsReplaced) {
  World world;
  world.a().hold_inputs = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);
  world.advance(world.options().patience + 1s);
  EXPECT_TRUE(world.said("cannot be reached; trying another"));
  expect_delivered(world, "b");
}

TEST(Client, ANodeThatDiesWhileIteratingIsReplaced) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);
  world.advance(world.options().patience + 1s);
  expect_delivered(world, "b");
}

TEST(Client, ANodeThatDiesWhileReturningIsReplaced) {
  World world;
  world.a().on_message = [&world](const wire::Message& message) {
    if (std::holds_alternative<wire::Fetch>(message))
      world.a().up = false, world.drop(world.a().identity->transport_key(), "gone");
  };
  world.start();
  world.submit(world.request());
  EXPECT_TRUE(world.all<ResultVerified>().empty());
  world.advance(world.options().patience + 1s);
  expect_delivered(world, "b");
}

TEST(Client, AShortCutGoesOnAtTheSameNode) {
  World world;
  world.a().hold_inputs = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);
  world.advance(1s);
  world.a().up = true;
  world.a().hold_inputs = false;
  world.advance(3s);
  expect_delivered(world, "a");
  EXPECT_EQ(world.b().opens, 0U);
  EXPECT_EQ(world.a().jobs.size(), 1U);
}

TEST(Client, TheFirstReceiptThatVerifiesWinsAndTheOtherRunIsCancelled) {
  World world;
  world.a().hold = true;
  world.b().hold = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);  // cut off, but still computing
  world.advance(world.options().patience + 1s);
  EXPECT_EQ(world.b().opens, 1U);
  world.set_up(world.a(), true);
  world.advance(10s);
  EXPECT_EQ(world.b().cancels, 0U) << "both run until one has a result";
  world.finish(world.a());
  expect_delivered(world, "a");
  EXPECT_EQ(world.b().cancels, 1U);
  EXPECT_TRUE(world.said("cancelling the second run at node b"));
}

TEST(Client, AnUnreachableSecondRunIsNamed) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);
  world.advance(world.options().patience + 1s);
  ASSERT_EQ(world.all<ResultVerified>().size(), 1U);
  world.deliver(world.job());
  world.advance(world.options().farewell + 1s);
  EXPECT_TRUE(world.said("no word from node a"));
  EXPECT_FALSE(world.all<Ended>().at(0).error);
}

TEST(Client, AManagerThatDiesWhileWaitingIsNotNeeded) {
  World world;
  world.manager_silent = true;
  world.start();
  world.submit(world.request());
  EXPECT_EQ(world.places.size(), 1U);
  world.set_manager_up(false);
  world.advance(5s);
  EXPECT_TRUE(world.said("this client places the job by itself"));
  expect_delivered(world, "a");
  ASSERT_EQ(world.record(world.job()).decisions.size(), 1U);
  const KeptDecision& kept = world.record(world.job()).decisions[0];
  EXPECT_TRUE(kept.chain.empty());
  const auto decision = manager::check_decision(kept.decision, world.me->certificate().signing_key);
  ASSERT_TRUE(decision) << decision.error().message;
  EXPECT_EQ(decision->winner, world.a().identity->member());
}

TEST(Client, ASilentManagerIsGivenUp) {
  World world;
  world.manager_silent = true;
  world.start();
  world.submit(world.request());
  world.advance(world.options().answer + 5s);
  expect_delivered(world, "a");
}

TEST(Client, NobodyReachableIsSaidInTimeAndTheJobStaysResumable) {
  World world;
  world.manager_up = world.registry_up = false;
  world.start();
  world.submit(world.request());
  world.advance(world.options().find + 1s);
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::Unreachable);
  EXPECT_TRUE(ended.resumable);
  EXPECT_EQ(world.record(world.job()).state, RecordState::Unfinished);
}

TEST(Client, APlacementThatTheManagerDidNotSignIsNotFollowed) {
  World world;
  world.alter_placed = [](wire::Placed& placed) { placed.ticket.body.back() ^= 1; };
  world.start();
  world.submit(world.request());
  EXPECT_TRUE(world.said("it did not sign"));
  world.advance(5s);
  expect_delivered(world, "a");  // placed here instead
  EXPECT_FALSE(world.a().jobs.begin()->second.open.ticket);
}

TEST(Client, DirectModeNeedsNobodyButTheNode) {
  World world;
  world.manager_up = world.registry_up = false;
  world.start();
  JobRequest request = world.request();
  request.node = NodePin{"b", testing::target_of(*world.b().identity, certs::Role::Node)};
  world.submit(request);
  expect_delivered(world, "b");
  EXPECT_FALSE(world.b().jobs.begin()->second.open.ticket);
}

TEST(Client, ANodeUsedBeforeIsRememberedByName) {
  World world;
  world.start();
  world.submit(world.request());
  expect_delivered(world, "a");
  world.manager_up = world.registry_up = false;
  world.start();
  JobRequest request = world.request();
  request.node = NodePin{"a", std::nullopt};
  world.submit(request);
  expect_delivered(world, "a");
}

TEST(Client, AnUnknownPinnedNodeIsUnreachableWithTheRemedy) {
  World world;
  world.start();
  JobRequest request = world.request();
  request.node = NodePin{"nowhere", std::nullopt};
  world.submit(request);
  world.advance(world.options().find + 1s);
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::Unreachable);
  EXPECT_NE(ended.error->message.find("HOST:PORT,KEY"), std::string::npos);
}

// ---- sessions that are refused

TEST(Client, AManagerThatWillNotHaveUsEndsTheJobWithItsReason) {
  World world;
  world.refusing = {world.manager->transport_key()};
  world.start();
  world.submit(world.request());
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::Refused);
  EXPECT_NE(ended.error->message.find("revoked"), std::string::npos);
  EXPECT_EQ(world.a().opens, 0U);
}

TEST(Client, APinnedNodeThatWillNotHaveUsEndsTheJobAtOnce) {
  World world;
  world.refusing = {world.b().identity->transport_key()};
  world.start();
  JobRequest request = world.request();
  request.node = NodePin{"b", testing::target_of(*world.b().identity, certs::Role::Node)};
  world.submit(request);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Refused);
}

TEST(Client, ANodeThatWillNotHaveUsIsOneOfMany) {
  World world;
  world.refusing = {world.a().identity->transport_key()};
  world.start();
  world.submit(world.request());
  expect_delivered(world, "b");
}

TEST(Client, RevokedWhileItsJobRunsItSaysSo) {
  World world;
  world.a().hold = true;
  world.start();
  JobRequest request = world.request();
  request.node = NodePin{"a", testing::target_of(*world.a().identity, certs::Role::Node)};
  world.submit(request);
  world.drop(world.a().identity->transport_key(), "the certificate of clinic was revoked", "revoked");
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::Refused);
  EXPECT_NE(ended.error->message.find("revoked"), std::string::npos);
}

// ---- previews

TEST(Client, PreviewsAreTakenOnlyWhenTheyAreWanted) {
  for (const bool wanted : {true, false}) {
    World world;
    world.a().hold = true;
    world.start();
    JobRequest request = world.request();
    request.previews = wanted;
    world.submit(request);
    world.offer(world.a(), "preview.png", 1, 1000);
    EXPECT_EQ(world.accepted.size(), wanted ? 1U : 0U);
    EXPECT_EQ(world.stopped.size(), wanted ? 0U : 1U);
  }
}

TEST(Client, APreviewMayNotPoseAsAResultOrBeHuge) {
  World world;
  world.a().hold = true;
  world.start();
  JobRequest request = world.request();
  request.previews = true;
  world.submit(request);
  world.offer(world.a(), "volume.f32", 0, 1000);
  world.offer(world.a(), "projections.f32", 0, 1000);
  world.offer(world.a(), "preview.png", 1, std::uint64_t{1} << 40);
  EXPECT_TRUE(world.accepted.empty());
  EXPECT_EQ(world.stopped.size(), 3U);
}

// ---- results that must not be taken

struct Lie {
  const char* name;
  std::function<void(FakeNode&)> tell;
};

class ALyingNode : public ::testing::TestWithParam<Lie> {};

TEST_P(ALyingNode, IsNotBelievedAndAnotherOneIsAsked) {
  World world(3);
  GetParam().tell(world.a());
  world.start();
  world.submit(world.request());
  expect_delivered(world, "b");
  EXPECT_EQ(world.record(world.job()).attempts[0].state, AttemptState::Over);
}

INSTANTIATE_TEST_SUITE_P(
    Every, ALyingNode,
    ::testing::Values(
        Lie{"OtherFederation", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.federation = "other"; }; }},
        Lie{"OtherJob", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.job.bytes[3] ^= 1; }; }},
        Lie{"OtherClient", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.client.bytes[3] ^= 1; }; }},
        Lie{"OtherNode", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.node.bytes[3] ^= 1; }; }},
        Lie{"OtherService", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.service.version = 2; }; }},
        Lie{"OtherParameters",
            [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.parameters = R"({"iterations":5})"; }; }},
        Lie{"ParameterLeftOut", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.parameters = "{}"; }; }},
        Lie{"OtherPatientsScan",
            [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.inputs[1].root[0] ^= 1; }; }},
        Lie{"InputLeftOut", [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.inputs.pop_back(); }; }},
        Lie{"SwappedResult",
            [](FakeNode& n) { n.alter_receipt = [](wire::Receipt& r) { r.outputs[1].root[0] ^= 1; }; }},
        Lie{"OutputTwice",
            [](FakeNode& n) { n.alter_outputs = [](std::vector<job::StreamFact>& o) { o.push_back(o[1]); }; }},
        Lie{"OutputMissing",
            [](FakeNode& n) { n.alter_outputs = [](std::vector<job::StreamFact>& o) { o.pop_back(); }; }},
        Lie{"NoOutputs", [](FakeNode& n) { n.alter_outputs = [](std::vector<job::StreamFact>& o) { o.clear(); }; }},
        Lie{"SignedByAnother", [](FakeNode& n) { n.receipt_by_other = true; }},
        Lie{"NoReceipt", [](FakeNode& n) { n.no_receipt = true; }},
        Lie{"AlteredInTransfer", [](FakeNode& n) { n.corrupt_transfer = true; }},
        Lie{"ResultGone", [](FakeNode& n) { n.refuse_fetch = "unknown"; }}),
    [](const auto& lie) { return std::string(lie.param.name); });

TEST(Client, ATransferThatKeepsBreakingEndsThatAttempt) {
  World world;
  world.a().break_outputs = "hash";
  world.start();
  world.submit(world.request());
  world.advance(1min);
  EXPECT_FALSE(world.all<StreamSpoiled>().empty()) << "what is stored must be thrown away";
  expect_delivered(world, "b");
}

TEST(Client, AFullDiskHereIsNotTheNodesFault) {
  World world;
  world.a().break_outputs = "storage";
  world.start();
  world.submit(world.request());
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::Storage);
  EXPECT_TRUE(ended.resumable);
  world.a().break_outputs.clear();
  world.start();
  world.submit(world.request());
  expect_delivered(world, "a");
  EXPECT_EQ(world.a().jobs.size(), 1U) << "the same job, not a second one";
}

// ---- failures of the job

TEST(Client, AFailureForGoodIsReportedWithItsReason) {
  World world;
  world.a().fail = job::JobFailure{"bad-input", "view 3 has no counts", job::Retry::Never};
  world.start();
  world.submit(world.request());
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::BadInput);
  EXPECT_NE(ended.error->message.find("view 3"), std::string::npos);
}

TEST(Client, AFailureElsewhereGoesToTheNextNode) {
  World world;
  world.a().fail = job::JobFailure{"out-of-memory", "", job::Retry::Elsewhere};
  world.start();
  world.submit(world.request());
  expect_delivered(world, "b");
}

TEST(Client, ARetryAtTheSameNodeIsAnotherJobThere) {
  World world(1);
  world.a().fail_once = job::JobFailure{"lost", "", job::Retry::Here};
  world.start();
  world.submit(world.request());
  world.advance(5s);
  expect_delivered(world, "a");
  EXPECT_EQ(world.a().jobs.size(), 2U);
}

TEST(Client, AttemptsAreBounded) {
  World world;
  world.a().fail = world.b().fail = job::JobFailure{"worker-died", "", job::Retry::Elsewhere};
  world.start();
  world.submit(world.request());
  world.advance(1h);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::JobFailed);
  EXPECT_LE(world.a().opens + world.b().opens, world.options().attempts_max);
}

TEST(Client, ASilentNodeIsAskedThriceAndThenLeft) {
  World world;
  world.a().silent = true;
  world.start();
  world.submit(world.request());
  world.advance(2min);
  EXPECT_EQ(world.a().opens, 3U);
  expect_delivered(world, "b");
}

// ---- the journal

TEST(Client, KilledAndRunAgainItGoesOnWithTheSameJob) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId first = world.job();
  world.start();  // kill -9: nothing but the journal is left
  world.submit(world.request());
  EXPECT_EQ(world.job(), first);
  EXPECT_TRUE(world.all<Started>().at(0).resumed);
  world.finish(world.a());
  expect_delivered(world, "a");
  EXPECT_EQ(world.a().jobs.size(), 1U);
}

TEST(Client, KilledBeforeItsNodeCouldAnswerItAsksThatNodeFirst) {
  World world;
  world.a().silent = true;
  world.start();
  world.submit(world.request());
  world.a().silent = false;
  world.start();
  world.submit(world.request());
  expect_delivered(world, "a");
  EXPECT_EQ(world.b().opens, 0U);
}

TEST(Client, FreshBeginsAnotherJob) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId first = world.job();
  world.start();
  JobRequest request = world.request();
  request.fresh = true;
  world.submit(request);
  EXPECT_NE(world.job(), first);
}

TEST(Client, OtherParametersAreAnotherJob) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId first = world.job();
  world.start();
  JobRequest request = world.request();
  request.parameters["iterations"] = std::int64_t{5};
  world.submit(request);
  EXPECT_NE(world.job(), first);
}

TEST(Client, AVerifiedResultIsHandedOverAgainAfterARestart) {
  World world;
  world.start();
  world.submit(world.request());
  ASSERT_EQ(world.all<ResultVerified>().size(), 1U);
  world.start();
  world.submit(world.request());
  expect_delivered(world, "a");
  EXPECT_EQ(world.a().opens, 1U);
  EXPECT_EQ(world.a().collects, 1U);
}

TEST(Client, ALostSpoolIsFetchedAgain) {
  World world;
  world.start();
  world.submit(world.request());
  world.start();
  world.submit(world.request());
  ASSERT_EQ(world.all<ResultVerified>().size(), 1U);
  world.updates.clear();
  world.refetch(world.client->records().begin()->first);
  EXPECT_EQ(world.all<ResultVerified>().size(), 1U);
}

TEST(Client, AttachNeedsNoScanOnceTheNodeHasIt) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.start();
  world.attach(job);
  EXPECT_EQ(world.a().attaches, 1U);
  world.finish(world.a());
  expect_delivered(world, "a");
}

TEST(Client, AttachWithoutTheScanSaysWhatToDoWhenTheNodeLacksIt) {
  World world;
  world.a().hold_inputs = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.start();
  world.attach(job);
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::NotFound);
  EXPECT_TRUE(ended.resumable);
}

TEST(Client, AttachToAJobThatNoNodeHasSaysSo) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.a().jobs.clear();
  world.start();
  world.attach(job);
  const Ended ended = expect_refused(world);
  EXPECT_EQ(ended.error->code, ErrorCode::NotFound);
  EXPECT_TRUE(ended.resumable);
  EXPECT_EQ(world.b().attaches, 0U) << "no other node can have it";
}

TEST(Client, AttachToAJobWhoseNodeIsAwayWaitsForIt) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.set_up(world.a(), false);
  world.start();
  world.attach(job);
  world.advance(30s);
  EXPECT_TRUE(world.all<Ended>().empty());
  world.set_up(world.a(), true);
  world.advance(5s);
  world.finish(world.a());
  expect_delivered(world, "a");
}

TEST(Client, AttachToAnUnknownJobIsNotFound) {
  World world;
  world.start();
  world.attach(job::JobId{{1, 2, 3}});
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::NotFound);
}

TEST(Client, TheJournalDoesNotGrowWithoutEnd) {
  World world;
  world.options().remembered_max = 3;
  for (int i = 0; i < 6; ++i) {
    world.start();
    world.advance(1s);
    world.submit(world.request());
    world.deliver(world.all<ResultVerified>().at(0).job);
  }
  world.start();
  EXPECT_EQ(world.client->records().size(), 3U);
}

// ---- an accident before every single event

// How many events a whole job is, from start to closed.
std::size_t events_of_a_job() {
  World world;
  world.start();
  world.submit(world.request());
  expect_delivered(world, "a");
  EXPECT_GT(world.handled(), 15U);
  return world.handled();
}

// Delivered whatever happened, once, and nobody was told to forget the result before.
void expect_delivered_after(World& world, const std::string& what) {
  SCOPED_TRACE(what + "\n" + world.story());
  for (const auto& node : world.all_nodes) EXPECT_EQ(node->collects, 0U);
  ASSERT_EQ(world.all<ResultVerified>().size(), 1U);
  world.deliver(world.all<ResultVerified>()[0].job);
  world.advance(world.options().farewell + 1s);
  ASSERT_EQ(world.all<Ended>().size(), 1U);
  EXPECT_FALSE(world.all<Ended>()[0].error);
}

TEST(Client, ACutAnywhereChangesNothing) {
  const std::size_t events = events_of_a_job();
  for (std::size_t at = 2; at < events; ++at) {
    World world;
    world.start();
    world.accident_at = at;
    world.accident = [&world] { world.drop(world.a().identity->transport_key(), "cut"); };
    world.submit(world.request());
    world.advance(10s);
    if (world.all<ResultVerified>().empty()) ADD_FAILURE() << "cut before event " << at << "\n" << world.story();
    if (world.a().collects == 0) expect_delivered_after(world, "cut before event " + std::to_string(at));
    EXPECT_EQ(world.b().opens, 0U) << "a short cut is no reason to run it twice";
  }
}

TEST(Client, ANodeThatDiesAnywhereIsReplaced) {
  const std::size_t events = events_of_a_job();
  for (std::size_t at = 2; at < events; ++at) {
    World world;
    world.start();
    world.accident_at = at;
    world.accident = [&world] { world.set_up(world.a(), false); };
    world.submit(world.request());
    world.advance(30s);
    expect_delivered_after(world, "node a dies before event " + std::to_string(at));
  }
}

TEST(Client, AManagerThatDiesAnywhereIsNotMissed) {
  const std::size_t events = events_of_a_job();
  for (std::size_t at = 2; at < events; ++at) {
    World world;
    world.start();
    world.accident_at = at;
    world.accident = [&world] { world.set_manager_up(false); };
    world.submit(world.request());
    world.advance(30s);
    expect_delivered_after(world, "the manager dies before event " + std::to_string(at));
  }
}

TEST(Client, KilledAnywhereAndRunAgainItDelivers) {
  const std::size_t events = events_of_a_job();
  for (std::size_t at = 2; at < events; ++at) {
    World world;
    world.start();
    world.accident_at = at;
    world.accident = [&world] { world.kill_client(); };
    world.submit(world.request());
    if (!world.killed()) continue;  // over before
    world.accident_at = SIZE_MAX;
    world.start();
    world.submit(world.request());
    world.advance(30s);
    expect_delivered_after(world, "killed before event " + std::to_string(at));
    EXPECT_EQ(world.a().jobs.size() + world.b().jobs.size(), 1U)
        << "killed before event " << at << ": nothing twice unseen";
  }
}

// ---- cancel

TEST(Client, CancelReachesTheNode) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  world.cancel(world.job());
  EXPECT_EQ(world.a().cancels, 1U);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Cancelled);
  EXPECT_EQ(world.record(world.job()).state, RecordState::Cancelled);
}

TEST(Client, CancelOfAJobOfAnEarlierRun) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.start();
  world.cancel(job);
  EXPECT_EQ(world.a().cancels, 1U);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Cancelled);
}

TEST(Client, CancelWithTheNodeOutOfReachEndsInTime) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  world.set_up(world.a(), false);
  world.cancel(world.job());
  world.advance(world.options().farewell + 1s);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Cancelled);
  EXPECT_TRUE(world.said("no word from node a"));
}

TEST(Client, AnAdministratorsCancelEndsTheJob) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  world.a().jobs.begin()->second.state = job::JobState::Cancelled;
  world.drop(world.a().identity->transport_key(), "cut");
  world.advance(2s);
  EXPECT_EQ(expect_refused(world).error->code, ErrorCode::Cancelled);
}

// ---- beside jobs

TEST(Client, TwoJobsRunBesideEachOther) {
  World world;
  world.start();
  world.submit(world.request());
  JobRequest second = world.request();
  second.parameters["iterations"] = std::int64_t{9};
  world.submit(second);
  const auto verified = world.all<ResultVerified>();
  ASSERT_EQ(verified.size(), 2U);
  for (const ResultVerified& one : verified) world.deliver(one.job);
  EXPECT_EQ(world.all<Ended>().size(), 2U);
}

TEST(Client, AQuestionToANodeIsAnswered) {
  World world;
  world.start();
  world.ask("a", wire::Drain{true});
  const auto answers = world.all<Answered>();
  ASSERT_EQ(answers.size(), 1U) << world.story();
  ASSERT_TRUE(answers[0].message);
  EXPECT_TRUE(std::holds_alternative<wire::Drained>(*answers[0].message));
}

// The farewell came too late: the node hears of it the next time that anything brings this client to it.
TEST(Client, ANodeThatMissedCollectedIsToldWhenNextMet) {
  World world;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.all<ResultVerified>().at(0).job;
  world.set_up(world.a(), false);
  world.deliver(job);
  world.advance(world.options().farewell + 1s);
  ASSERT_EQ(world.record(job).state, RecordState::Closed);
  ASSERT_EQ(world.a().collects, 0U);
  world.start();  // another command, later
  world.set_up(world.a(), true);
  JobRequest other = world.request();
  other.fresh = true;
  world.submit(other);
  EXPECT_EQ(world.a().collects, 1U) << world.story();
  EXPECT_EQ(world.record(job).attempts[0].state, AttemptState::Over);
  world.start();
  world.submit(other);
  EXPECT_EQ(world.a().collects, 1U) << "said once, acknowledged: not said again";
}

TEST(Client, ANodeThatMissedACancelIsToldWhenNextMet) {
  World world;
  world.a().hold = true;
  world.start();
  world.submit(world.request());
  const job::JobId job = world.job();
  world.set_up(world.a(), false);
  world.cancel(job);
  world.advance(world.options().farewell + 1s);
  ASSERT_EQ(world.a().cancels, 0U);
  world.start();
  world.set_up(world.a(), true);
  JobRequest other = world.request();
  other.fresh = true;
  world.submit(other);
  EXPECT_EQ(world.a().cancels, 1U) << world.story();
  EXPECT_EQ(world.record(job).state, RecordState::Cancelled);
  EXPECT_EQ(world.record(job).attempts[0].state, AttemptState::Over);
}

}  // namespace
}  // namespace tomogrid::client
