package projection_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// scattered is a view with the costs of a real one: a key in no order, and two indexes.
var scattered = projection.Definition{
	Name: "scattered",
	Schema: `CREATE TABLE entries (id BLOB PRIMARY KEY, sequence INTEGER NOT NULL, counter TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
		CREATE INDEX by_sequence ON entries (sequence); CREATE INDEX by_counter ON entries (counter, sequence);`,
	Reads:       []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	LateIndexes: true,
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		e := r.Event.(kittest.Added)
		id := sha256.Sum256(fmt.Append(nil, r.Sequence))
		return tx.Exec(`INSERT INTO entries (id, sequence, counter, body) VALUES (?, ?, ?, ?)`, id[:16], int64(r.Sequence), e.Counter, r.Data)
	},
}

// BenchmarkCatchUp brings a view that stopped early to the end of a log.
func BenchmarkCatchUp(b *testing.B) {
	for _, size := range []struct{ before, rest int }{{10_000, 40_000}, {100_000, 40_000}, {100_000, 100_000}, {1_000, 150_000}} {
		b.Run(fmt.Sprintf("%d-after-%d", size.rest, size.before), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				log, dir := kittest.New(b), b.TempDir()
				fill(b, log, size.before)
				follow(b, log, dir, size.before)
				fill(b, log, size.rest)
				b.StartTimer()
				follow(b, log, dir, size.before+size.rest)
			}
			b.ReportMetric(float64(size.rest*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// follow runs the view until it has read a log of so many events.
func follow(b *testing.B, log *kittest.Log, dir string, events int) {
	b.Helper()
	v := projection.New(scattered)
	if err := v.Open(b.Context(), projection.Config{JetStream: log.JS, Log: log.Log, Dir: dir, Consumer: "bench", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	if err := v.Await(ctx, projection.Token{kittest.Stream: uint64(events)}); err != nil {
		b.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	v.Close()
}
