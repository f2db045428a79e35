# One run of a service. Bounds are in job.cpp, which alone reads these.
@0xb2f4c1d07a3e9104;
using Cxx = import "/capnp/c++.capnp";
using Registry = import "registry.capnp";
using Placement = import "placement.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct StreamFact {
  name @0 :Text;
  length @1 :UInt64;
  root @2 :Data;                 # 32
}

struct Parameter {
  name @0 :Text;
  value :union {
    boolean @1 :Bool;
    integer @2 :Int64;
    number @3 :Float64;
    text @4 :Text;
  }
}

struct JobFailure {
  code @0 :Text;
  message @1 :Text;
  retry @2 :UInt8;
}

struct Open {
  job @0 :Data;                  # 16
  ticket @1 :Data;               # encoded Signed, or null
  service @2 :Registry.ServiceName;
  parameters @3 :List(Parameter);
  needs @4 :Placement.Needs;
  inputs @5 :List(StreamFact);
}
struct OpenRefused {
  job @0 :Data;
  code @1 :Text;
  reason @2 :Text;
  retry @3 :UInt8;
}
struct JobStatus {
  job @0 :Data;
  service @1 :Registry.ServiceName;
  state @2 :UInt8;
  inputComplete @3 :Bool;
  stage @4 :Text;
  fraction @5 :Float64;
  remaining :union {
    unknown @6 :Void;
    seconds @7 :Float64;
  }
  step @8 :UInt32;
  steps @9 :UInt32;
  grant @10 :Placement.Grant;
  failure @11 :JobFailure;       # null: none
  outputs @12 :List(StreamFact);
  receipt @13 :Data;             # encoded Signed, or null
  expiresMs @14 :Int64;
}
struct JobNotice {
  job @0 :Data;
  code @1 :Text;
  message @2 :Text;
}
struct Attach { job @0 :Data; }
struct CancelJob { job @0 :Data; }
struct Fetch {
  job @0 :Data;
  name @1 :Text;
}
struct Collected { job @0 :Data; }
struct Wiped { job @0 :Data; }
struct JobRefused {
  job @0 :Data;
  code @1 :Text;
  reason @2 :Text;
}
struct ListJobs {}
struct JobList { jobs @0 :List(JobStatus); }
struct Drain { on @0 :Bool; }
struct Drained {
  on @0 :Bool;
  jobsLeft @1 :UInt32;
}

# Body of a Signed of kind "receipt".
struct Receipt {
  federation @0 :Text;
  job @1 :Data;                  # 16
  client @2 :Data;               # 32
  node @3 :Data;                 # 32
  service @4 :Registry.ServiceName;
  workerBuild @5 :Data;          # 32
  parameters @6 :Text;
  inputs @7 :List(StreamFact);
  outputs @8 :List(StreamFact);
  finishedMs @9 :Int64;
}
