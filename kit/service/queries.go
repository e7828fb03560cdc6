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

// farBehind is the lag from which on a view is not ready.
const farBehind = 10_000

type answering struct {
	operators []*nats.Subscription // health and rebuild
	service   micro.Service        // queries; nil until the views have something to answer from
	busy      sync.WaitGroup
	stopping  context.Context
	hurry     context.CancelFunc // tells those who wait that the service stops
}

// answerOperators serves what is asked of every replica, from its start on.
func (s *Service) answerOperators(ctx context.Context, d *deps) (*answering, error) {
	a := &answering{}
	a.stopping, a.hurry = context.WithCancel(context.Background())
	health, err := d.listen(a, bus.HealthSubject(s.Name), func(m *nats.Msg) {
		body, _ := json.Marshal(s.health(ctx, d))
		_ = m.Respond(body)
	})
	if err != nil {
		return a, err
	}
	rebuild, err := d.listen(a, bus.RebuildSubject(s.Name), func(m *nats.Msg) { s.rebuild(a.stopping, d, m) })
	if err != nil {
		return a, errors.Join(err, health.Unsubscribe())
	}
	a.operators = []*nats.Subscription{health, rebuild}
	return a, nil
}

// listen serves one endpoint of those.
func (d *deps) listen(a *answering, endpoint string, answer func(*nats.Msg)) (*nats.Subscription, error) {
	return d.Conn.Subscribe(endpoint, func(m *nats.Msg) {
		if err := natsauth.CheckRequest(m, endpoint); err != nil {
			d.foreign(m, endpoint, err)
			return
		}
		a.busy.Go(func() { answer(m) })
	})
}

// answerQueries serves the queries as a NATS service, so that `nats micro ls`
// shows it. A replica takes no part in that before each of its views has
// something to answer from, or has stopped: another one may have.
func (s *Service) answerQueries(ctx, working context.Context, d *deps, a *answering) (err error) {
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
		held := make(chan struct{}, workingAtOnce)
		handle := func(req micro.Request) {
			held <- struct{}{}
			a.busy.Go(func() {
				s := &slot{slots: shared, held: held, room: oneMessage(d.Conn)}
				defer s.leave()
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

// stop takes no more questions and waits until those that have come are answered.
func (a *answering) stop(conn *nats.Conn) error {
	a.hurry()
	var failed []error
	for _, sub := range a.operators {
		failed = append(failed, sub.Drain())
	}
	if a.service != nil {
		failed = append(failed, a.service.Stop())
	}
	// Draining goes on in the background. After the flush nothing more can
	// arrive, and after the barrier what had arrived has begun.
	failed = append(failed, conn.FlushTimeout(finish))
	begun := make(chan struct{})
	if err := conn.Barrier(func() { close(begun) }); err == nil {
		<-begun
	}
	a.busy.Wait()
	return errors.Join(failed...)
}

func (d *deps) answer(ctx context.Context, q Query, req micro.Request) {
	m := &nats.Msg{Subject: req.Subject(), Reply: req.Reply(), Header: nats.Header(req.Headers())}
	endpoint := bus.QuerySubject(q.name())
	if err := natsauth.CheckRequest(m, endpoint); err != nil {
		d.foreign(m, endpoint, err)
		return
	}
	env, err := eventlog.ParseEnvelope(m.Header.Get)
	var body any
	if err == nil {
		var done func()
		if done, err = makeRoom(ctx, m.Header.Get(bus.HeaderRoom)); err == nil {
			defer done()
			body, err = d.ask(ctx, q, req.Data(), QueryMeta{Actor: env.Actor, After: env.After})
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
	d.respondAtLength(req.Reply(), header, body, roomOf(ctx))
}

func (d *deps) ask(ctx context.Context, q Query, payload []byte, ask QueryMeta) (body any, err error) {
	began := time.Now()
	defer func() { observe(d.metrics.queries, q.name(), began, false, err) }()
	defer recovered(&err)
	if err := d.trusted(ctx, ask.Actor); err != nil {
		return nil, err
	}
	return q.answer(ctx, payload, ask)
}

// Health is how this replica does: what it tells whoever asks over NATS. One
// that does not serve is not ready.
func (s *Service) Health(ctx context.Context) bus.Health {
	d := s.running.Load()
	if d == nil {
		return bus.Health{Service: s.Name}
	}
	return s.health(ctx, d)
}

func (s *Service) health(ctx context.Context, d *deps) bus.Health {
	h := bus.Health{Service: s.Name, Replica: d.Replica, Behind: d.stalled()}
	h.Ready = d.Conn.IsConnected() && len(h.Behind) == 0
	if err := cmp.Or(d.log.DataLoss(), d.log.Outage()); err != nil {
		h.Ready, h.Log = false, detail(err)
	}
	for _, v := range s.Views {
		vh := bus.ViewHealth{Name: v.Name(), Behind: v.Stalled()}
		_, vh.Rebuilding = v.Building()
		if err := v.Failed(); err != nil {
			vh.Failed = err.Error()
		} else if lag, err := v.Lag(ctx); err == nil {
			vh.Lag = lag
		} else if v.Queryable() {
			vh.Failed = err.Error()
		}
		for _, n := range vh.Lag {
			// Old rows will do while new ones are being made.
			h.Ready = h.Ready && (n < farBehind || vh.Rebuilding)
		}
		h.Ready = h.Ready && vh.Failed == "" && len(vh.Behind) == 0 && v.Queryable()
		h.Views = append(h.Views, vh)
	}
	return h
}

// detail is an error as anybody may see it.
func detail(err error) string {
	if r, ok := errs.As(err); ok {
		return r.Detail
	}
	return "the log takes no events now"
}

// stalled are the shared consumers that bring nothing although there is more.
func (d *deps) stalled() (names []string) {
	for name, facts := range d.subscribers {
		if facts.Stalled() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// endpointName is a query's name in `nats micro`: it may hold no dots.
func endpointName(query string) string {
	b := []byte(query)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}
