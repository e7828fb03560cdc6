package main

import "context"

// fault is one fault and the shop that it is injected into.
type fault struct {
	name      string
	promise   string // what must hold in addition to the promises
	on        shape
	underLoad bool // customers buy while it lasts
	patient   bool // no customer gives up early
	final     bool // the shop does not recover by itself: only the fault's own checks run
	short     bool // part of the mix that go test runs
	previous  bool // the shop is opened with the version before
	inject    func(context.Context, *trial)
}

// faults is the table, the most valuable first.
var faults = []fault{
	{name: "kill-up", on: inProcess, underLoad: true, short: true, inject: killUp,
		promise: "lonja up is killed again and again, and ready within 2 s each time"},
	{name: "kill-parts", on: separate, underLoad: true, short: true, inject: killParts,
		promise: "services and gateways are killed one after another; the other replicas go on"},
	{name: "same-key", on: separate, short: true, inject: sameKey,
		promise: "50 concurrent requests under one key have one effect; another body gets 422"},
	{name: "flash-sale", on: separate, inject: flashSale,
		promise: "1,000 customers for 10 pieces: exactly 10 get them, the others get their answer quickly"},
	{name: "late-money", on: separate.with("--reservation-ttl", "1500ms", "--payment-deadline", "1200ms"), short: true, inject: lateMoney,
		promise: "payments arrive at the deadline, twice, or with a cancellation: paid, or cancelled and refunded"},
	{name: "late-goods", on: separate.with("--reservation-ttl", "1200ms", "--payment-deadline", "1500ms"), inject: lateMoney,
		promise: "the same while reservations expire before payments do"},
	{name: "poison", on: separate, inject: poison,
		promise: "every message that is not an event becomes one dead letter; everything else is handled"},
	{name: "rolling", on: separate, underLoad: true, patient: true, inject: rolling,
		promise: "every part is stopped with SIGTERM and started again; no request fails"},
	{name: "away", on: separate, underLoad: true, inject: serviceAway,
		promise: "one service after another is down: 202, and the outcome later; the others go on"},
	{name: "freeze-service", on: separate, underLoad: true, inject: freezeService,
		promise: "replicas are frozen and resumed: one winner, no second history"},
	{name: "freeze-nats", on: clustered, underLoad: true, inject: freezeNATS,
		promise: "a NATS server is frozen and resumed: one winner, no second history"},
	{name: "kill-nats", on: separate, underLoad: true, inject: killNATS,
		promise: "the only NATS server is killed again and again; the shop comes back by itself"},
	{name: "kill-leader", on: clustered, underLoad: true, inject: killLeader,
		promise: "the leader of the orders is killed again and again; two of three go on"},
	{name: "kill-two", on: clustered, underLoad: true, inject: killNodes(2),
		promise: "two of three NATS servers are killed; the shop comes back with them"},
	{name: "kill-three", on: clustered, underLoad: true, inject: killNodes(3),
		promise: "all three NATS servers are killed; the shop comes back with them"},
	{name: "rolling-nats", on: clustered, underLoad: true, inject: rollingNATS,
		promise: "three NATS servers are restarted in turn"},
	{name: "clocks", on: separate.with("--reservation-ttl", "5s", "--payment-deadline", "5s", "--log-level", "debug").withClocks(wrongClocks), underLoad: true, patient: true, inject: clocksWrong,
		promise: "clocks are an hour off in both directions and jump: order is by sequence, and time is the server's"},
	{name: "consumer-deleted", on: separate, underLoad: true, inject: consumersDeleted,
		promise: "deleted consumers are created again"},
	{name: "stream-deleted", on: inProcess, final: true, inject: streamDeleted,
		promise: "a deleted stream does not silently start again: not ready, and the reason is reported"},
	{name: "stream-recreated", on: inProcess, final: true, inject: streamRecreated,
		promise: "a recreated stream is noticed: not ready, and the reason is reported"},
	{name: "stream-changed", on: inProcess, inject: streamChanged,
		promise: "a changed stream configuration is noticed, and corrected at the next start"},
	{name: "bit-flip", on: inProcess, final: true, inject: flipBits,
		promise: "a flipped bit in the log is noticed by audit or checkpoint at the latest at start"},
	{name: "views-damaged", on: separate, underLoad: true, short: true, inject: viewsDamaged,
		promise: "views that are deleted, truncated, overwritten or restored from an old copy are rebuilt"},
	{name: "nats-full", on: separate, underLoad: true, inject: natsFull,
		promise: "the log is full: 503, never a false 2xx; it recovers with space"},
	{name: "views-full", on: separate, underLoad: true, final: true, inject: viewsFull,
		promise: "the disk of the views is full: never a false 2xx; it recovers with space"},
	{name: "full-up", on: inProcess, underLoad: true, final: true, inject: fullDisk,
		promise: "the disk of lonja up is full: reported at once, orders rejected at once, reads go on; it recovers with space"},
	{name: "eio", on: inProcess, underLoad: true, final: true, inject: failingDisk,
		promise: "writes and syncs of lonja up fail with EIO or ENOSPC: the same, and unsynced data is not trusted"},
	{name: "power-cuts", on: inProcess, final: true, inject: powerCuts,
		promise: "the power of lonja up is cut again and again (--cuts), and what was not synced is lost or torn: nothing acknowledged is, no view is ahead of the log, nothing stops"},
	{name: "twice", on: separate.behindProxies(), underLoad: true, inject: duplicates,
		promise: "commands are delivered twice and acknowledgements get lost: nothing changes"},
	{name: "answers-lost", on: separate.behindProxies(), underLoad: true, inject: answersLost,
		promise: "answers of services are lost or arrive after the gateway gave up: one effect"},
	{name: "crash-points", on: separate.behindProxies(), underLoad: true, short: true, inject: crashPoints,
		promise: "killed after an append and before its answer, before an ack, and in the middle of a view's batch"},
	{name: "mixed-versions", on: separate, underLoad: true, previous: true, inject: mixedVersions,
		promise: "the version before and the present one are replicas of one shop, back and forth: nothing is decided wrongly"},
}
