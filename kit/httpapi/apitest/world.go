// Package apitest is what tests and examples of HTTP APIs run on: a NATS server
// with streams, the example service "counters", and an issuer of access tokens.
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

// World is a NATS server with streams, in a folder that is removed by Close.
type World struct {
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Client *bus.Client

	broker  *natsembed.Server
	streams *streams.Config
	dir     string
	stops   []func() error
}

// Start starts a server on loopback.
func Start(ctx context.Context) (*World, error) {
	dir, err := os.MkdirTemp("", "apitest")
	if err != nil {
		return nil, err
	}
	w := &World{dir: dir}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) start(ctx context.Context) (err error) {
	if w.broker, err = natsembed.Start(natsembed.Config{Dir: w.dir + "/nats", Addr: "127.0.0.1:0", SyncInterval: time.Minute}); err != nil {
		return err
	}
	if w.Conn, err = w.Connect(); err != nil {
		return err
	}
	w.Client = bus.NewClient(w.Conn)
	if w.JS, err = jetstream.New(w.Conn); err != nil {
		return err
	}
	if w.streams, err = streams.Parse([]byte(config)); err != nil {
		return err
	}
	return w.streams.Apply(ctx, w.JS, 0)
}

// Connect is another connection to the server. Close closes it, too.
func (w *World) Connect() (*nats.Conn, error) {
	nc, err := nats.Connect(w.broker.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err == nil {
		w.stops = append(w.stops, func() error { nc.Close(); return nil })
	}
	return nc, err
}

// RunCounters runs the service Counters and returns when it is ready. It goes on
// where the last one was stopped.
func (w *World) RunCounters() (stop func() error, err error) {
	nc, err := w.Connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Counters().Run(ctx, service.Config{Application: "counters", Conn: nc, Codec: kittest.Codec, Streams: w.streams, Dir: w.dir + "/views"}, func() { close(ready) })
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
	w.stops = append(w.stops, stop)
	return stop, nil
}

// Close stops everything, the newest first.
func (w *World) Close() error {
	var failed []error
	for i := len(w.stops) - 1; i >= 0; i-- {
		failed = append(failed, w.stops[i]())
	}
	if w.broker != nil {
		w.broker.Stop()
	}
	return errors.Join(append(failed, os.RemoveAll(w.dir))...)
}
