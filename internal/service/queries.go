package service

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"lonja/internal/envelope"
	"lonja/internal/refusal"
)

// Health is what a replica says of itself on health.<service>.
type Health struct {
	Service string       `json:"service"`
	Replica string       `json:"replica"`
	Ready   bool         `json:"ready"`
	Views   []ViewHealth `json:"views"`
}

// ViewHealth is how a view does. Lag is how many facts it is behind each stream.
type ViewHealth struct {
	Name   string            `json:"name"`
	Lag    map[string]uint64 `json:"lag"`
	Failed string            `json:"failed,omitempty"`
}

// farBehind is the lag from which on a view is not ready.
const farBehind = 10_000

type answering struct {
	service micro.Service
	health  *nats.Subscription
	busy    sync.WaitGroup
	hurry   context.CancelFunc // tells queries that wait that the service stops
}

// answerQueries serves the queries as a NATS service, so that `nats micro ls`
// shows it, and the health question to every replica.
func (s *Service) answerQueries(ctx context.Context, d *deps) (*answering, error) {
	stopping, hurry := context.WithCancel(context.Background())
	a := &answering{hurry: hurry}
	ctx = context.WithValue(ctx, stoppingKey{}, stopping.Done())
	var err error
	a.service, err = micro.AddService(d.Conn, micro.Config{
		Name: s.Name, Version: "1.0.0", Description: "replica " + d.Replica, QueueGroup: s.Name,
	})
	if err != nil {
		return nil, err
	}
	for _, q := range s.Queries {
		slots := make(chan struct{}, 1024)
		handle := func(req micro.Request) {
			slots <- struct{}{}
			a.busy.Go(func() {
				d.answer(ctx, q, req)
				<-slots
			})
		}
		err := a.service.AddEndpoint(endpointName(q.name()), micro.HandlerFunc(handle), micro.WithEndpointSubject("queries."+q.name()))
		if err != nil {
			return nil, errors.Join(err, a.service.Stop())
		}
	}
	a.health, err = d.Conn.Subscribe("health."+s.Name, func(m *nats.Msg) {
		a.busy.Go(func() {
			body, _ := json.Marshal(s.health(ctx, d))
			_ = m.Respond(body)
		})
	})
	return a, err
}

// stop takes no more queries and waits for those under way.
func (a *answering) stop() error {
	a.hurry()
	err := errors.Join(a.health.Drain(), a.service.Stop())
	a.busy.Wait()
	return err
}

func (d *deps) answer(ctx context.Context, q Query, req micro.Request) {
	h := req.Headers()
	env, err := envelope.Of(h.Get)
	var body any
	if err == nil {
		body, err = d.ask(ctx, q, req.Data(), Ask{Actor: env.Actor, After: env.After})
	} else {
		err = refusal.New(refusal.Invalid, "%v", err)
	}
	d.respond(req.Reply(), nil, body, err)
}

func (d *deps) ask(ctx context.Context, q Query, payload []byte, ask Ask) (body any, err error) {
	began := time.Now()
	defer func() { observe(d.metrics.queries, q.name(), began, false, err) }()
	defer recovered(&err)
	return q.answer(ctx, payload, ask)
}

func (s *Service) health(ctx context.Context, d *deps) Health {
	h := Health{Service: s.Name, Replica: d.Replica, Ready: true}
	for _, v := range s.Views {
		vh := ViewHealth{Name: v.Name()}
		if err := v.Failed(); err != nil {
			vh.Failed = err.Error()
		} else if lag, err := v.Lag(ctx); err != nil {
			vh.Failed = err.Error()
		} else {
			vh.Lag = lag
		}
		for _, n := range vh.Lag {
			h.Ready = h.Ready && n < farBehind
		}
		h.Ready = h.Ready && vh.Failed == ""
		h.Views = append(h.Views, vh)
	}
	return h
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
