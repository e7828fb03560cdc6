package main

import "context"

// fault is one way in which a shop breaks.
type fault struct {
	name    string
	holds   string // what must hold besides that no promise is broken
	on      shape
	load    bool // customers buy meanwhile
	patient bool // and none of them gives up early
	final   bool // it does not heal: its own checks are all there is
	short   bool // it is part of the mix that runs with the tests
	happen  func(context.Context, *trial)
}

// faults is the table, in order of worth.
var faults = []fault{
	{name: "kill-up", on: inOne, load: true, short: true, happen: killUp,
		holds: "lonja up is killed again and again, and ready within 2 s each time"},
	{name: "kill-parts", on: inMany, load: true, short: true, happen: killParts,
		holds: "services and gateways are killed one after another; the other replicas go on"},
	{name: "same-key", on: inMany, short: true, happen: sameKey,
		holds: "50 requests at once under one key have one effect; another body is 422"},
	{name: "rush", on: inMany, happen: rush,
		holds: "1,000 customers for 10 pieces: exactly 10 get them, the others hear quickly"},
	{name: "late-money", on: inMany.with("--reservation-ttl", "1500ms", "--payment-deadline", "1200ms"), short: true, happen: lateMoney,
		holds: "money comes at the deadline, twice, or with a cancellation: paid, or cancelled and refunded"},
	{name: "late-goods", on: inMany.with("--reservation-ttl", "1200ms", "--payment-deadline", "1500ms"), happen: lateMoney,
		holds: "the same while reservations expire before payments do"},
	{name: "poison", on: inMany, happen: poison,
		holds: "what is no fact is in the dead letters once, and everything else flows"},
	{name: "rolling", on: inMany, load: true, patient: true, happen: rolling,
		holds: "every part is stopped with SIGTERM and started again; no request fails"},
	{name: "away", on: inMany, load: true, happen: away,
		holds: "one service after another is away: 202 and later the outcome; the others go on"},
	{name: "freeze-service", on: inMany, load: true, happen: freezeService,
		holds: "replicas stand still and come back: one winner, no second history"},
	{name: "freeze-nats", on: clusters, load: true, happen: freezeNATS,
		holds: "a NATS server stands still and comes back: one winner, no second history"},
	{name: "kill-nats", on: inMany, load: true, happen: killNATS,
		holds: "the only NATS server is killed again and again; the shop comes back by itself"},
	{name: "kill-leader", on: clusters, load: true, happen: killLeader,
		holds: "the leader of the orders is killed again and again; two of three go on"},
	{name: "kill-two", on: clusters, load: true, happen: killNodes(2),
		holds: "two of three NATS servers are killed; the shop comes back with them"},
	{name: "kill-three", on: clusters, load: true, happen: killNodes(3),
		holds: "all three NATS servers are killed; the shop comes back with them"},
	{name: "rolling-nats", on: clusters, load: true, happen: rollingNATS,
		holds: "three NATS servers are restarted in turn"},
	{name: "clocks", on: inMany.with("--reservation-ttl", "6h", "--payment-deadline", "4h").whose(allWrong), load: true, happen: clocksWrong,
		holds: "clocks are an hour off, on both sides, and jump back and forth: order is by sequence"},
	{name: "consumer-deleted", on: inMany, load: true, happen: consumersDeleted,
		holds: "consumers that are deleted come back by themselves"},
	{name: "stream-deleted", on: inOne, final: true, happen: streamDeleted,
		holds: "facts that are gone are not silently begun anew: not ready, and it says so"},
	{name: "stream-recreated", on: inOne, final: true, happen: streamRecreated,
		holds: "a stream in another one's place is noticed: not ready, and it says so"},
	{name: "stream-changed", on: inOne, happen: streamChanged,
		holds: "a stream's configuration that was changed is noticed, and put right at the next start"},
	{name: "bit-flip", on: inOne, final: true, happen: bitFlip,
		holds: "a flipped bit in the log is noticed by audit or checkpoint at the latest at start"},
	{name: "views-damaged", on: inMany, load: true, short: true, happen: viewsDamaged,
		holds: "views that are deleted, cut, overwritten or put back from an old copy are built anew"},
	{name: "nats-full", on: inMany, load: true, happen: natsFull,
		holds: "the log is full: 503, never a false 2xx; it recovers with space"},
	{name: "views-full", on: inMany, load: true, final: true, happen: viewsFull,
		holds: "the disk of the views is full: never a false 2xx; it recovers with space"},
	{name: "full-up", on: inOne, load: true, final: true, happen: upFull,
		holds: "the disk of lonja up is full: said at once, orders refused at once, reads go on; it heals with space"},
	{name: "eio", on: inOne, load: true, final: true, happen: brokenDisk,
		holds: "writes and syncs of lonja up fail with EIO or ENOSPC: the same, and nothing unsynced is trusted"},
	{name: "twice", on: inMany.behindProxies(), load: true, happen: everythingTwice,
		holds: "commands are delivered twice and acknowledgements get lost: nothing changes"},
	{name: "answers-lost", on: inMany.behindProxies(), load: true, happen: answersLost,
		holds: "answers of services are lost or come after the gateway gave up: one effect"},
	{name: "crash-points", on: inMany.behindProxies(), load: true, short: true, happen: crashPoints,
		holds: "killed after an append and before its answer, before an ack, and in the middle of a view's batch"},
}
