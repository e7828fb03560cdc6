package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// intakeName is the name by which -only chooses the intake.
const intakeName = "intake"

// taken is what became of orders that were offered at a steady rate, whether the shop could
// keep up or not.
type taken struct {
	offered, placed, refused int
	answers                  result        // from when an order should have been sent until it was placed
	waits                    result        // from when it should have been sent until it awaits its payment
	behind                   time.Duration // from the last offer until the last order awaited its payment
}

// intakeConnections is how many orders can be on their way to an answer at once. More are
// offered late, which counts as waiting.
const intakeConnections = 256

// intake offers so many orders a second for a time. Unlike the other loads, it does not wait for
// an answer before it sends more: the backlog shows.
func intake(ctx context.Context, s *shop, perSecond int, d time.Duration) (t taken, err error) {
	w, err := watchAwaiting(ctx, s.log)
	if err != nil {
		return t, err
	}
	defer w.stop()
	began := time.Now()
	placed, err := s.offer(ctx, began, perSecond, d, &t)
	if err != nil {
		return t, err
	}
	offered := time.Now()
	for id, due := range placed {
		at, err := w.when(ctx, id)
		if err != nil {
			return t, fmt.Errorf("order %s does not await its payment: %w", id, err)
		}
		t.waits.latencies = append(t.waits.latencies, at.Sub(due))
		t.behind = max(t.behind, at.Sub(offered))
	}
	for _, r := range []*result{&t.answers, &t.waits} {
		slices.Sort(r.latencies)
		r.count, r.took = len(r.latencies), d
	}
	return t, nil
}

// offer places orders at their times, and returns those that were placed with when each should
// have been sent.
func (s *shop) offer(ctx context.Context, began time.Time, perSecond int, d time.Duration, t *taken) (map[string]time.Time, error) {
	due := make(chan time.Time, perSecond*int(d.Seconds()+1)) // holds all: whoever offers never waits
	var mu sync.Mutex
	placed := map[string]time.Time{}
	failed := make(chan error, intakeConnections)
	for n := range intakeConnections {
		go func() {
			failed <- s.placeWhenDue(due, s.customers[n%len(s.customers)], func(id string, at time.Time) {
				mu.Lock()
				defer mu.Unlock()
				if id == "" {
					t.refused++
					return
				}
				placed[id] = at
				t.answers.latencies = append(t.answers.latencies, time.Since(at))
			})
		}()
	}
	every := time.Second / time.Duration(perSecond)
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	for at := began; at.Sub(began) < d && ctx.Err() == nil; <-tick.C {
		for ; !at.After(time.Now()) && at.Sub(began) < d; at = at.Add(every) {
			due <- at
			t.offered++
		}
	}
	close(due)
	var err error
	for range intakeConnections {
		err = errors.Join(err, <-failed)
	}
	t.placed = len(placed)
	return placed, errors.Join(err, ctx.Err())
}

// placeWhenDue places an order for each time, at one connection, and reports it with its id, or
// with "" if the shop said that it takes no more now.
func (s *shop) placeWhenDue(due <-chan time.Time, by *customer, report func(id string, due time.Time)) error {
	c, err := connect(s.http)
	if err != nil {
		return err
	}
	defer c.close()
	for at := range due {
		got, err := c.roundTrip(order(c, s.http, by))
		switch {
		case err != nil:
			return err
		case got.status == 503:
			report("", at)
		case got.status != 201:
			return fmt.Errorf("answered %d %.300s", got.status, got.body)
		default:
			report(got.location[strings.LastIndexByte(got.location, '/')+1:], at)
		}
	}
	return nil
}

// watch notes when orders await their payment, by the log.
type watch struct {
	mu      sync.Mutex
	at      map[string]time.Time
	changed chan struct{} // closed and replaced at every event
	stop    func()
}

func watchAwaiting(ctx context.Context, js jetstream.JetStream) (*watch, error) {
	cons, err := js.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"events.order.*.awaiting_payment"}, DeliverPolicy: jetstream.DeliverNewPolicy})
	if err != nil {
		return nil, err
	}
	w := &watch{at: map[string]time.Time{}, changed: make(chan struct{})}
	consuming, err := cons.Consume(w.note)
	if err != nil {
		return nil, err
	}
	w.stop = consuming.Stop
	return w, nil
}

func (w *watch) note(m jetstream.Msg) {
	var e struct {
		OrderID string `json:"order_id"`
	}
	if json.NewDecoder(bytes.NewReader(m.Data())).Decode(&e) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[e.OrderID] = time.Now()
	close(w.changed)
	w.changed = make(chan struct{})
}

// when waits until an order awaits its payment, and returns since when.
func (w *watch) when(ctx context.Context, id string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		w.mu.Lock()
		at, found := w.at[id]
		changed := w.changed
		w.mu.Unlock()
		if found {
			return at, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return at, ctx.Err()
		}
	}
}

func (t taken) print(perSecond int, d time.Duration) {
	fmt.Printf("\nintake: %d orders/s offered for %s: %d placed, %d told to come back\n", perSecond, d, t.placed, t.refused)
	fmt.Printf("until the answer: p50 %s ms, p99 %s ms, at most %s ms\n", milliseconds(t.answers.percentile(50)), milliseconds(t.answers.percentile(99)), milliseconds(t.answers.percentile(100)))
	fmt.Printf("until awaiting_payment: p50 %s ms, p99 %s ms, at most %s ms; %.1f s from the last offer to the last of them; aim: %s\n",
		milliseconds(t.waits.percentile(50)), milliseconds(t.waits.percentile(99)), milliseconds(t.waits.percentile(100)), max(t.behind, 0).Seconds(), aimOf(intakeName))
}
