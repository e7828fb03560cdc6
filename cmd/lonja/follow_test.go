package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// counted counts the events of orders.
var counted = projection.Definition{
	Name:   "counted",
	Schema: `CREATE TABLE counted (one INTEGER PRIMARY KEY, facts INTEGER NOT NULL);`,
	Reads:  []projection.Source{{Stream: "ORDERS", Subjects: []string{"events.order.>"}}},
	Project: func(tx *projection.Tx, _ eventlog.Record) error {
		return tx.Exec(`INSERT INTO counted (one, facts) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET facts = facts + 1`)
	},
}

// follower is a view on a cluster, all of whose requests go to the server that
// leads the orders.
type follower struct {
	*natsd
	home     string
	log      *eventlog.Log
	js       jetstream.JetStream
	view     *projection.View
	recorded int
}

// its is the view's durable consumer.
const its = "test-a-counted-orders"

func follow(t *testing.T, d *natsd) *follower {
	t.Helper()
	f := &follower{natsd: d, home: d.leader("ORDERS"), view: projection.New(counted)}
	f.log, f.js = d.logOn(f.home)
	config := projection.Config{JetStream: f.js, Log: f.log, Dir: t.TempDir(), Consumer: "test-a", Logger: slog.New(slog.DiscardHandler)}
	if err := f.view.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.view.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, f.view.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// record records fifty events and returns the last one's sequence.
func (f *follower) record() (last uint64) {
	f.t.Helper()
	for range 50 {
		f.recorded++
		order := fmt.Sprintf("ord_seen%d", f.recorded)
		within(f.t, time.Minute, func() error {
			event, err := f.log.Append(f.t.Context(), "ORDERS", "events.order."+order+".>", 0, factOf(order), shipped(order))
			if errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrDuplicate) {
				return nil // by a try that was not answered
			}
			last = max(last, event.Sequence)
			return err
		})
	}
	return last
}

// follows measures how long the view takes to hold an event.
func (f *follower) follows(when string, seq uint64) {
	f.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if err := f.view.Await(ctx, projection.Token{"ORDERS": seq}); err != nil {
		f.t.Errorf("%s: %v", when, err)
	}
	f.t.Logf("%s: after %v", when, time.Since(began).Round(time.Millisecond))
}

// ask asks for something about the consumer, and does not care whether it is answered.
func (f *follower) ask(api string) {
	_, _ = f.js.Conn().Request("$JS.API.CONSUMER."+api+".ORDERS."+its, nil, 5*time.Second)
}

// foreign is a server that leads the consumer and not the orders.
func (f *follower) foreign() (name string) {
	f.t.Helper()
	within(f.t, time.Minute, func() error {
		cons, err := f.js.Consumer(f.t.Context(), "ORDERS", its)
		if err != nil {
			return err
		}
		if name = cons.CachedInfo().Cluster.Leader; name == "" || name == f.home {
			f.ask("LEADER.STEPDOWN")
			return fmt.Errorf("the consumer is led by %q", name)
		}
		return nil
	})
	return name
}

// TestAViewFollowsWhateverBecomesOfItsConsumer disturbs what delivers to a view while
// events are recorded: in the end its rows hold each of them, once.
func TestAViewFollowsWhateverBecomesOfItsConsumer(t *testing.T) {
	f := follow(t, cluster(t))
	f.follows("at first", f.record())

	f.ask("DELETE")
	f.follows("once the consumer is deleted", f.record())

	f.ask("LEADER.STEPDOWN")
	f.follows("once its leader steps down", f.record())

	if _, err := f.js.PauseConsumer(t.Context(), "ORDERS", its, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	f.follows("once it is paused", f.record())

	frozen := f.running[f.foreign()].Process
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.follows("once its leader stands still", f.record())
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.follows("once it goes on", f.record())

	var facts int
	if _, err := f.view.Get(t.Context(), `SELECT facts FROM counted`, nil, &facts); err != nil || facts != f.recorded {
		t.Errorf("%d facts are counted, %d were recorded: %v", facts, f.recorded, err)
	}
}
