package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// maxReadyLag is the lag, in events, from which on a view is not ready.
const maxReadyLag = 10_000

// endpoints are what a running service answers on NATS, besides commands.
type endpoints struct {
	operators     []*nats.Subscription // health and rebuild
	service       micro.Service        // queries; nil until the views have something to answer from
	inProgress    sync.WaitGroup
	stopping      context.Context
	cancelWaiting context.CancelFunc // ends stopping, so that queries which wait return
}

// serveOperators answers requests that go to every replica. It does so from the start on,
// before the views are ready.
func (s *Service) serveOperators(ctx context.Context, d *deps) (*endpoints, error) {
	a := &endpoints{}
	a.stopping, a.cancelWaiting = context.WithCancel(context.Background())
	health, err := d.serveEndpoint(a, bus.HealthSubject(s.Name), func(m *nats.Msg) {
		body, _ := json.Marshal(s.health(ctx, d))
		_ = m.Respond(body)
	})
	if err != nil {
		return a, err
	}
	rebuild, err := d.serveEndpoint(a, bus.RebuildSubject(s.Name), func(m *nats.Msg) { s.rebuild(a.stopping, d, m) })
	if err != nil {
		return a, errors.Join(err, health.Unsubscribe())
	}
	a.operators = []*nats.Subscription{health, rebuild}
	return a, nil
}

// serveEndpoint answers the requests on one subject.
func (d *deps) serveEndpoint(a *endpoints, endpoint string, answer func(*nats.Msg)) (*nats.Subscription, error) {
	return d.Conn.Subscribe(endpoint, func(m *nats.Msg) {
		if err := natsauth.CheckRequest(m, endpoint); err != nil {
			d.rejectMessage(m, endpoint, err)
			return
		}
		a.inProgress.Go(func() { answer(m) })
	})
}

// serveQueries answers the queries as a NATS service, so `nats micro ls` lists it. It joins
// only when each view has rows to answer from, or has stopped; until then another replica may
// answer.
func (s *Service) serveQueries(ctx, working context.Context, d *deps, a *endpoints) (err error) {
	for _, v := range s.Views {
		_ = v.Await(ctx, nil)
	}
	if ctx.Err() != nil {
		return nil
	}
	working = context.WithValue(working, stoppingKey{}, a.stopping.Done())
	a.service, err = micro.AddService(d.Conn, micro.Config{
		Name: s.Name, Version: "1.0.0", Description: "replica " + d.Replica, QueueGroup: s.Name,
	})
	if err != nil {
		return err
	}
	shared := newSlots()
	for _, q := range s.Queries {
		held := make(chan struct{}, maxQueries)
		handle := func(req micro.Request) {
			held <- struct{}{}
			a.inProgress.Go(func() {
				growStack()
				s := &slot{slots: shared, held: held, room: maxMessageSize(d.Conn)}
				defer s.release()
				d.answer(context.WithValue(working, slotKey{}, s), q, req)
			})
		}
		err := a.service.AddEndpoint(endpointName(q.name()), micro.HandlerFunc(handle), micro.WithEndpointSubject(bus.QuerySubject(q.name())))
		if err != nil {
			return err
		}
	}
	return nil
}

// stop takes no new requests and waits until those that have arrived are answered.
func (a *endpoints) stop(conn *nats.Conn) error {
	a.cancelWaiting()
	var failed []error
	for _, sub := range a.operators {
		failed = append(failed, sub.Drain())
	}
	if a.service != nil {
		failed = append(failed, a.service.Stop())
	}
	// Draining goes on in the background. After the flush no more requests can arrive, and
	// after the barrier those that have arrived are in progress.
	failed = append(failed, conn.FlushTimeout(shutdownTimeout))
	started := make(chan struct{})
	if err := conn.Barrier(func() { close(started) }); err == nil {
		<-started
	}
	a.inProgress.Wait()
	return errors.Join(failed...)
}

// answer answers one query.
func (d *deps) answer(ctx context.Context, q Query, req micro.Request) {
	m := &nats.Msg{Subject: req.Subject(), Reply: req.Reply(), Header: nats.Header(req.Headers())}
	endpoint := bus.QuerySubject(q.name())
	if err := natsauth.CheckRequest(m, endpoint); err != nil {
		d.rejectMessage(m, endpoint, err)
		return
	}
	env, err := eventlog.ParseEnvelope(m.Header.Get)
	var body any
	if err == nil {
		var done func()
		if done, err = reserveSize(ctx, m.Header.Get(bus.HeaderMaxSize)); err == nil {
			defer done()
			body, err = d.runQuery(ctx, q, req.Data(), QueryMeta{Actor: env.Actor, After: env.After})
		}
	} else {
		err = errs.New(errs.Invalid, "%v", err)
	}
	header := nats.Header{}
	// The position is read after the rows, so it is no less than what they show.
	if at := q.position(); at != "" {
		header[bus.HeaderPosition] = []string{at}
	}
	if err != nil {
		d.respond(req.Reply(), nil, nil, err)
		return
	}
	d.respondInParts(req.Reply(), header, body, maxSizeOf(ctx))
}

// runQuery returns the answer of a query, unless its sender's token was revoked.
func (d *deps) runQuery(ctx context.Context, q Query, payload []byte, meta QueryMeta) (body any, err error) {
	began := time.Now()
	defer func() { observe(d.metrics.queries, q.name(), began, false, err) }()
	defer recoverPanic(&err)
	if err := d.checkRevoked(ctx, meta.Actor); err != nil {
		return nil, err
	}
	return q.answer(ctx, payload, meta)
}

// Health returns the state of this replica, as it answers it over NATS. A replica that does
// not serve is not ready.
func (s *Service) Health(ctx context.Context) bus.Health {
	d := s.running.Load()
	if d == nil {
		return bus.Health{Service: s.Name}
	}
	return s.health(ctx, d)
}

func (s *Service) health(ctx context.Context, d *deps) bus.Health {
	h := bus.Health{Service: s.Name, Replica: d.Replica, Stalled: d.stalled()}
	h.Ready = d.Conn.IsConnected() && len(h.Stalled) == 0
	if err := cmp.Or(d.log.DataLoss(), d.log.Outage()); err != nil {
		h.Ready, h.Log = false, detail(err)
	}
	for _, v := range s.Views {
		vh := bus.ViewHealth{Name: v.Name(), Stalled: v.Stalled()}
		_, vh.Rebuilding = v.Building()
		if err := v.Failed(); err != nil {
			vh.Failed = err.Error()
		} else if lag, err := v.Lag(ctx); err == nil {
			vh.Lag = lag
		} else if v.Queryable() {
			vh.Failed = err.Error()
		}
		for _, n := range vh.Lag {
			// The present rows still answer while a view is rebuilt, unless they are what is late.
			h.Ready = h.Ready && (n < maxReadyLag || vh.Rebuilding && !v.IsFarBehind())
		}
		h.Ready = h.Ready && vh.Failed == "" && len(vh.Stalled) == 0 && v.Queryable()
		h.Views = append(h.Views, vh)
	}
	return h
}

// detail is an error in words that anybody may see.
func detail(err error) string {
	if r, ok := errs.As(err); ok {
		return r.Detail
	}
	return "no events can be recorded at the moment"
}

// stalled returns the names of the shared consumers that make no progress although messages
// are pending.
func (d *deps) stalled() (names []string) {
	for name, subscriber := range d.subscribers {
		if subscriber.Stalled() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// endpointName is a query's name in `nats micro`, which allows no dots.
func endpointName(query string) string {
	b := []byte(query)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}
