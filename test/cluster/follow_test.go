package cluster

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
	"lonja/test/harness"
)

// counted is a view that counts the events of orders.
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
	*harness.Servers
	home     string
	log      *eventlog.Log
	js       jetstream.JetStream
	view     *projection.View
	recorded int
}

// its is the view's durable consumer.
const its = "test-a-counted-orders"

func follow(t *testing.T, d *harness.Servers) *follower {
	t.Helper()
	f := &follower{Servers: d, home: d.Leader("ORDERS"), view: projection.New(counted)}
	f.log, f.js = logOn(d, f.home)
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

// record appends fifty events and returns the last one's sequence.
func (f *follower) record() (last uint64) {
	f.T.Helper()
	for range 50 {
		f.recorded++
		order := fmt.Sprintf("ord_seen%d", f.recorded)
		harness.Within(f.T, time.Minute, func() error {
			event, err := f.log.Append(f.T.Context(), "ORDERS", "events.order."+order+".>", 0, envelopeOf(order), shipped(order))
			if errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrDuplicate) {
				return nil // by a try that was not answered
			}
			last = max(last, event.Sequence)
			return err
		})
	}
	return last
}

// follows measures how long it takes until the view holds an event.
func (f *follower) follows(when string, seq uint64) {
	f.T.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(f.T.Context(), time.Minute)
	defer cancel()
	if err := f.view.Await(ctx, projection.Token{"ORDERS": seq}); err != nil {
		f.T.Errorf("%s: %v", when, err)
	}
	f.T.Logf("%s: after %v", when, time.Since(began).Round(time.Millisecond))
}

// ask asks for something about the consumer, and ignores the answer.
func (f *follower) ask(api string) {
	_, _ = f.js.Conn().Request("$JS.API.CONSUMER."+api+".ORDERS."+its, nil, 5*time.Second)
}

// foreign is a server that leads the consumer and not the orders.
func (f *follower) foreign() (name string) {
	f.T.Helper()
	harness.Within(f.T, time.Minute, func() error {
		cons, err := f.js.Consumer(f.T.Context(), "ORDERS", its)
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

// TestAViewFollowsWhateverBecomesOfItsConsumer disturbs the consumer of a view while
// events are recorded. In the end its rows count each event once.
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

	frozen := f.Process(f.foreign())
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
