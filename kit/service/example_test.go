package service_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// A service handles one command, builds one view and answers one query from it. The command
// is sent twice with one id, as after a lost answer, and takes effect once.
func Example() {
	if err := count(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// after the command: 3
	// after the same command: 3, replayed: true
	// total: 3
}

// counters is the service: a table of what it does.
func counters() *service.Service {
	counters := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int { return n + e.(kittest.Added).By }})
	totals := projection.New(projection.Definition{
		Name:   "totals",
		Schema: `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			e := r.Event.(kittest.Added)
			return tx.Exec(`INSERT INTO totals VALUES (?, ?) ON CONFLICT (counter) DO UPDATE SET total = total + excluded.total`, e.Counter, e.By)
		},
	})
	return &service.Service{
		Name:  "counters",
		Views: []*projection.View{totals},
		Commands: []service.Command{
			service.Handle(counters, func(_ int, c add, _ decider.Meta) (eventlog.Event, error) {
				return kittest.Added{Counter: c.Counter, By: c.By}, nil
			}).Reply(func(n int, _ eventlog.Event) any { return n }),
		},
		Queries: []service.Query{
			service.Answer(totals, func(ctx context.Context, q total, _ eventlog.Actor) (any, error) {
				var n int
				_, err := totals.Get(ctx, `SELECT total FROM totals WHERE counter = ?`, []any{q.Counter}, &n)
				return n, err
			}),
		},
	}
}

func count() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, dir, stopServer, err := kittest.JetStream(ctx)
	if err != nil {
		return err
	}
	defer stopServer()
	declared, err := streams.Parse([]byte(`
streams:
  - {name: COUNTERS, subjects: [events.counter.>], allow_direct: true}
  - {name: DEADLETTERS, subjects: [deadletters.>], allow_direct: true}
`))
	if err != nil {
		return err
	}
	if err := declared.Apply(ctx, js, 0); err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	ready, result := make(chan struct{}), make(chan error, 1)
	go func() {
		result <- counters().Run(running, service.Config{Application: "counters", Conn: js.Conn(), Codec: kittest.Codec,
			Streams: declared, Dir: filepath.Join(dir, "views")}, func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-result:
		stop()
		return err
	}
	defer func() {
		stop()
		err = errors.Join(err, <-result)
	}()

	client := bus.NewClient(js.Conn())
	command := eventlog.Envelope{ID: eventlog.NewID()}
	first, err := client.Send(ctx, add{"clicks", 3}, command)
	if err != nil {
		return err
	}
	fmt.Printf("after the command: %s\n", first.Body)
	again, err := client.Send(ctx, add{"clicks", 3}, command)
	if err != nil {
		return err
	}
	fmt.Printf("after the same command: %s, replayed: %t\n", again.Body, again.Replayed)
	// The position of the event makes the query wait until the view includes it.
	answer, err := client.Query(ctx, total{"clicks"}, eventlog.Envelope{After: first.Position})
	if err != nil {
		return err
	}
	fmt.Printf("total: %s\n", answer)
	return nil
}
