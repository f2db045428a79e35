# Which node takes a job. Bounds are in placement.cpp, which alone reads these.
@0xb2f4c1d07a3e9103;
using Cxx = import "/capnp/c++.capnp";
using Registry = import "registry.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct Needs {
  coresMin @0 :UInt32;
  coresMax @1 :UInt32;
  memory @2 :UInt64;             # bytes
  scratch @3 :UInt64;
  work @4 :Float64;              # FLOP
  labels @5 :List(Text);
}

struct Grant {
  cores @0 :UInt32;
  memory @1 :UInt64;
  scratch @2 :UInt64;
}

struct Place {
  request @0 :Data;              # 16
  job @1 :Data;                  # 16
  service @2 :Registry.ServiceName;
  needs @3 :Needs;
  excluded @4 :List(Data);       # 32 each
}
struct CancelPlace { request @0 :Data; }
struct Waiting {
  request @0 :Data;
  position @1 :UInt32;
  earliest :union {
    unknown @2 :Void;
    seconds @3 :Float64;
  }
  reason @4 :Text;
}
struct Placed {
  request @0 :Data;
  advert @1 :Data;
  ticket @2 :Data;
  decision @3 :Data;
}
struct Unplaceable {
  request @0 :Data;
  reason @1 :Text;
  decision @2 :Data;
}

# Body of a Signed of kind "ticket".
struct Ticket {
  id @0 :Data;                   # 16
  node @1 :Data;                 # 32
  boot @2 :UInt64;
  client @3 :Data;               # 32
  job @4 :Data;                  # 16
  service @5 :Registry.ServiceName;
  grant @6 :Grant;
  issuedMs @7 :Int64;
  ttlMs @8 :Int64;
}

struct Reserve { ticket @0 :Data; }
struct Reserved { ticket @0 :Data; }                  # 16
struct ReserveRefused {
  ticket @0 :Data;
  code @1 :Text;
  reason @2 :Text;
}
struct Release { ticket @0 :Data; }

struct Candidate {
  node @0 :Data;                 # 32
  boot @1 :UInt64;
  sequence @2 :UInt64;
  coresFree @3 :UInt32;
  coresHeld @4 :UInt32;
  coresPerJobMax @5 :UInt32;
  coresTotal @6 :UInt32;
  ratePerCore @7 :Float64;
  memoryFree @8 :UInt64;
  memoryHeld @9 :UInt64;
  scratchFree @10 :UInt64;
  scratchHeld @11 :UInt64;
  draining @12 :Bool;
  ageMs @13 :Int64;
  rejection @14 :Text;
  memoryTotal @15 :UInt64;
  scratchTotal @16 :UInt64;
}

# Body of a Signed of kind "decision".
struct DecisionRecord {
  place @0 :Place;
  client @1 :Data;               # 32
  decidedBy @2 :Data;            # 32
  decidedMs @3 :Int64;
  candidates @4 :List(Candidate);
  candidatesLeftOut @5 :UInt32;
  winner @6 :Data;               # 32, or null: none
  grant @7 :Grant;
}
