package main

import (
	"fmt"
	"time"
)

// row is the measurement of one workload at a number of connections.
type row struct {
	name           string
	connections    int
	shop, limit    result
	server, client time.Duration // CPU time of the whole load
	appends        uint64        // messages that the shop published during the load
	behind         time.Duration // how long the shop needed to become idle after the load
	limitName      string
}

type table struct{ last string }

func newTable() *table {
	fmt.Printf("\n%-25s %5s %9s %9s %9s %11s %11s %9s %10s %6s  %s\n", "", "conns", "per sec", "p50 ms", "p99 ms",
		"server CPU", "client CPU", "limit/s", "limit p50", "share", "limit")
	return &table{}
}

// print prints a row as soon as it is measured. CPU time is per request, in
// microseconds; server CPU includes the reactions that happen meanwhile.
func (t *table) print(r row) {
	name, note := r.name, r.limitName
	if name == t.last {
		name, note = "", ""
	}
	t.last = r.name
	if r.appends > 0 {
		note = fmt.Sprintf("%-18s %.0f synced appends/s in all, then %.1f s until idle",
			note, float64(r.appends)/r.shop.took.Seconds(), r.behind.Seconds())
	}
	fmt.Printf("%-25s %5d %9.0f %9s %9s %8d µs %8d µs %9.0f %10s %5.0f%%  %s\n", name, r.connections,
		r.shop.perSecond(), milliseconds(r.shop.percentile(50)), milliseconds(r.shop.percentile(99)),
		each(r.server, r.shop.count), each(r.client, r.shop.count),
		r.limit.perSecond(), milliseconds(r.limit.percentile(50)), 100*r.shop.perSecond()/max(r.limit.perSecond(), 1), note)
}

func (r rebuilt) print() {
	rate := float64(r.count) / r.took.Seconds()
	fmt.Printf("\na view of %d events, %d bytes each, rebuilt in %.2f s: %.0f events/s including the start of its service, %d µs of CPU each\n",
		r.count, r.dataSize, r.took.Seconds(), rate, each(r.cpu, r.count))
	fmt.Printf("rows of that size straight into SQLite, %d a transaction: %.0f/s; share %.0f%%\n", rowsInTransaction, r.limit, 100*rate/max(r.limit, 1))
}

func each(d time.Duration, n int) int64 { return d.Microseconds() / int64(max(n, 1)) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
