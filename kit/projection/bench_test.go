package projection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// ledger stores every event as it came, as a real view stores what its queries return.
var ledger = projection.Definition{
	Name:   "ledger",
	Schema: `CREATE TABLE entries (sequence INTEGER PRIMARY KEY, counter TEXT NOT NULL, added INTEGER NOT NULL, body BLOB NOT NULL);`,
	Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		e := r.Event.(kittest.Added)
		return tx.Exec(`INSERT INTO entries (sequence, counter, added, body) VALUES (?, ?, ?, ?)`, int64(r.Sequence), e.Counter, e.By, r.Data)
	},
}

// fill records events of 400 bytes for a hundred counters.
func fill(b testing.TB, log *kittest.Log, events int) {
	b.Helper()
	padding := strings.Repeat("x", 360)
	for n := range events {
		id := eventlog.NewID()
		counter := fmt.Sprintf("c%d", n%100)
		data, _ := json.Marshal(map[string]any{"counter": counter, "by": 1, "note": padding})
		header := eventlog.Envelope{ID: id, Type: addedType, Source: "test/counters", Causation: id, Correlation: id,
			Actor: eventlog.Actor{ID: "service:counters"}, Time: time.Now()}.Header()
		if _, err := log.JS.PublishMsgAsync(&nats.Msg{Subject: "events.counter." + counter + ".added", Header: header, Data: data}); err != nil {
			b.Fatal(err)
		}
		if n%1000 == 999 || n == events-1 { // wait for a slow server
			<-log.JS.PublishAsyncComplete()
		}
	}
}

// BenchmarkRebuild builds a view of 100,000 events from nothing.
func BenchmarkRebuild(b *testing.B) {
	const events = 100_000
	log := kittest.New(b)
	fill(b, log, events)
	b.ResetTimer()
	for n := range b.N {
		v := projection.New(ledger)
		if err := v.Open(b.Context(), projection.Config{JetStream: log.JS, Log: log.Log, Dir: b.TempDir(), Consumer: fmt.Sprintf("bench-%d", n), Logger: slog.New(slog.DiscardHandler)}); err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		if err := v.Await(ctx, projection.Token{kittest.Stream: events}); err != nil {
			b.Fatal(err)
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkGet reads one row by its key. Each read has a goroutine of its own, as queries
// do; the sub-benchmarks differ in how many run at a time.
func BenchmarkGet(b *testing.B) {
	log := kittest.New(b)
	fill(b, log, 10_000)
	v := projection.New(ledger)
	if err := v.Open(b.Context(), projection.Config{JetStream: log.JS, Log: log.Log, Dir: b.TempDir(), Consumer: "bench", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	if err := v.Await(ctx, projection.Token{kittest.Stream: 10_000}); err != nil {
		b.Fatal(err)
	}
	for _, atOnce := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d-at-once", atOnce), func(b *testing.B) {
			slots := make(chan struct{}, atOnce)
			b.ReportAllocs()
			for n := range b.N {
				slots <- struct{}{}
				go func() {
					ctx, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					var body []byte
					if found, err := v.Get(ctx, `SELECT body FROM entries WHERE sequence = ?`, []any{1 + n%10_000}, &body); !found || err != nil {
						b.Error(found, err)
					}
					<-slots
				}()
			}
			for range atOnce {
				slots <- struct{}{}
			}
		})
	}
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	v.Close()
}
