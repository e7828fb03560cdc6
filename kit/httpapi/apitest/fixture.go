// Package apitest provides what tests and examples of HTTP APIs need: a NATS server with
// streams, the example service "counters", and an issuer of access tokens.
//
// An example starts a [Fixture] with [Start]. A test opens an [API] with [Open], serves
// routes, runs the service or fakes its answers, and sends requests with Do.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/kittest"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
)

const config = `
streams:
  - name: COUNTERS
    subjects: [events.counter.>]
    allow_direct: true
  - name: TIMERS
    subjects: [timers.>]
    allow_direct: true
    allow_msg_schedules: true
    allow_msg_ttl: true
    allow_rollup_hdrs: true
  - name: DEADLETTERS
    subjects: [deadletters.>]
    allow_direct: true
  - name: RETRIES
    subjects: [retries.>]
    retention: workqueue
    consumers:
      - {durable_name: counters-retries, filter_subjects: [retries.counters.>], ack_policy: explicit, max_deliver: -1}
  - name: DEFERRED
    subjects: [deferred.>, outcomes.>]
    allow_direct: true
    consumers:
      - {durable_name: counters-deferred, filter_subjects: [deferred.counters.>], ack_policy: explicit, max_deliver: -1}
  - name: REVOCATIONS
    subjects: [revocations.>]
    max_msgs_per_subject: 1
    allow_direct: true
`

// Fixture is a NATS server with streams, in a temporary directory that Close removes.
type Fixture struct {
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Client *bus.Client

	server  *natsembed.Server
	streams *streams.Config
	dir     string
	stops   []func() error
}

// Start starts a fixture on loopback. The caller must Close it.
func Start(ctx context.Context) (*Fixture, error) {
	dir, err := os.MkdirTemp("", "apitest")
	if err != nil {
		return nil, err
	}
	f := &Fixture{dir: dir}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fixture) start(ctx context.Context) (err error) {
	if f.server, err = natsembed.Start(natsembed.Config{Dir: f.dir + "/nats", Addr: "127.0.0.1:0", SyncInterval: time.Minute}); err != nil {
		return err
	}
	if f.Conn, err = f.Connect(); err != nil {
		return err
	}
	f.Client = bus.NewClient(f.Conn)
	if f.JS, err = jetstream.New(f.Conn); err != nil {
		return err
	}
	if f.streams, err = streams.Parse([]byte(config)); err != nil {
		return err
	}
	return f.streams.Apply(ctx, f.JS, 0)
}

// Connect returns another connection to the server, which Close closes.
func (f *Fixture) Connect() (*nats.Conn, error) {
	nc, err := nats.Connect(f.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err == nil {
		f.stops = append(f.stops, func() error { nc.Close(); return nil })
	}
	return nc, err
}

// RunCounters runs the service Counters and returns when it is ready. Started again after
// stop, it continues with the same log and views. Stop may be called twice; Close calls it.
func (f *Fixture) RunCounters() (stop func() error, err error) {
	nc, err := f.Connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Counters().Run(ctx, service.Config{Application: "counters", Conn: nc, Codec: kittest.Codec, Streams: f.streams, Dir: f.dir + "/views"}, func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		return nil, fmt.Errorf("counters: %w", err)
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	f.stops = append(f.stops, stop)
	return stop, nil
}

// Close stops everything, in reverse order, and removes the directory.
func (f *Fixture) Close() error {
	var failed []error
	for i := len(f.stops) - 1; i >= 0; i-- {
		failed = append(failed, f.stops[i]())
	}
	if f.server != nil {
		f.server.Stop()
	}
	return errors.Join(append(failed, os.RemoveAll(f.dir))...)
}
