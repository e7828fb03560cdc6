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

// countView is a view that counts the events of orders.
var countView = projection.Definition{
	Name:   "counted",
	Schema: `CREATE TABLE counted (one INTEGER PRIMARY KEY, facts INTEGER NOT NULL);`,
	Reads:  []projection.Source{{Stream: "ORDERS", Subjects: []string{"events.order.>"}}},
	Project: func(tx *projection.Tx, _ eventlog.Record) error {
		return tx.Exec(`INSERT INTO counted (one, facts) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET facts = facts + 1`)
	},
}

// viewFixture is a view on a cluster. All its requests go to the server that leads
// the stream ORDERS.
type viewFixture struct {
	*harness.Servers
	home     string
	log      *eventlog.Log
	js       jetstream.JetStream
	view     *projection.View
	recorded int
}

// durable is the name of the view's consumer.
const durable = "test-a-counted-orders"

func openView(t *testing.T, d *harness.Servers) *viewFixture {
	t.Helper()
	f := &viewFixture{Servers: d, home: d.Leader("ORDERS"), view: projection.New(countView)}
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
func (f *viewFixture) record() (last uint64) {
	f.T.Helper()
	for range 50 {
		f.recorded++
		order := fmt.Sprintf("ord_seen%d", f.recorded)
		harness.Within(f.T, time.Minute, func() error {
			event, err := f.log.Append(f.T.Context(), "ORDERS", "events.order."+order+".>", 0, envelopeOf(order), shipped(order))
			if errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrDuplicate) {
				return nil // recorded by an attempt without an answer
			}
			last = max(last, event.Sequence)
			return err
		})
	}
	return last
}

// awaitView measures how long it takes until the view holds an event.
func (f *viewFixture) awaitView(when string, seq uint64) {
	f.T.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(f.T.Context(), time.Minute)
	defer cancel()
	if err := f.view.Await(ctx, projection.Token{"ORDERS": seq}); err != nil {
		f.T.Errorf("%s: %v", when, err)
	}
	f.T.Logf("%s: after %v", when, time.Since(began).Round(time.Millisecond))
}

// request sends a request about the consumer and ignores the answer.
func (f *viewFixture) request(api string) {
	_, _ = f.js.Conn().Request("$JS.API.CONSUMER."+api+".ORDERS."+durable, nil, 5*time.Second)
}

// otherLeader returns the server that leads the consumer, once it is another one
// than the leader of ORDERS.
func (f *viewFixture) otherLeader() (name string) {
	f.T.Helper()
	harness.Within(f.T, time.Minute, func() error {
		cons, err := f.js.Consumer(f.T.Context(), "ORDERS", durable)
		if err != nil {
			return err
		}
		if name = cons.CachedInfo().Cluster.Leader; name == "" || name == f.home {
			f.request("LEADER.STEPDOWN")
			return fmt.Errorf("the consumer is led by %q", name)
		}
		return nil
	})
	return name
}

// TestView_FollowsWhateverHappensToItsConsumer disturbs the consumer of a view while
// events are recorded. At the end its rows count each event once.
func TestView_FollowsWhateverHappensToItsConsumer(t *testing.T) {
	f := openView(t, cluster(t))
	f.awaitView("at first", f.record())

	f.request("DELETE")
	f.awaitView("once the consumer is deleted", f.record())

	f.request("LEADER.STEPDOWN")
	f.awaitView("once its leader steps down", f.record())

	if _, err := f.js.PauseConsumer(t.Context(), "ORDERS", durable, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	f.awaitView("once it is paused", f.record())

	frozen := f.Process(f.otherLeader())
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.awaitView("once its leader is frozen", f.record())
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.awaitView("once its leader is resumed", f.record())

	var counted int
	if _, err := f.view.Get(t.Context(), `SELECT facts FROM counted`, nil, &counted); err != nil || counted != f.recorded {
		t.Errorf("%d events are counted, %d were recorded: %v", counted, f.recorded, err)
	}
}
