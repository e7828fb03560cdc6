package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// deadlineFor returns a deadline that no payment of a storm reaches before all are requested.
func deadlineFor(size int) time.Duration {
	return 20*time.Second + time.Duration(size)*12*time.Millisecond
}

// calm is what customers get who do one thing after another.
type calm struct{ get, post result }

// stormed is the measurement of very many payments that are due at once.
type stormed struct {
	count         int
	before, while calm
	took          time.Duration // from the start of the shop until all have expired
}

// storm places orders that nobody pays, stops the shop until all payments are due, and starts it
// again. Before and meanwhile, a customer reads an order again and again for a second, and then
// orders for a second.
func storm(ctx context.Context, program, dir string, size int, each time.Duration) (r stormed, err error) {
	deadline := deadlineFor(size)
	data, flags := filepath.Join(dir, "storm"), []string{"--payment-deadline", deadline.String(), "--reservation-ttl", "24h"}
	s, err := open(ctx, program, data, flags...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.seed(ctx); err != nil {
		return r, err
	}
	if err := s.placeMany(ctx, size); err != nil {
		return r, err
	}
	if _, err := s.awaitIdle(ctx); err != nil {
		return r, err
	}
	began := time.Now()
	if r.before, err = s.calm(ctx, func() bool { return time.Since(began) > 2*each }); err != nil {
		return r, err
	}
	due := time.Now().Add(deadline)
	if r.count, err = s.countPayments(ctx, "requested"); err != nil {
		return r, err
	}
	if err := s.stop(); err != nil {
		return r, err
	}
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
		return r, ctx.Err()
	}
	known := s.customers
	if s, err = open(ctx, program, data, flags...); err != nil {
		return r, err
	}
	if err := s.logInAgain(ctx, known); err != nil {
		return r, err
	}
	began = time.Now()
	r.while, err = s.calm(ctx, s.allExpired(ctx, r.count))
	r.took = time.Since(began)
	return r, err
}

// placeMany places orders at 16 connections.
func (s *shop) placeMany(ctx context.Context, n int) error {
	place, _, closeAll, err := workloads[0].drive(s, customers)
	if err != nil {
		return err
	}
	defer closeAll()
	workers := make(chan int, customers)
	for i := range customers {
		workers <- i
	}
	return s.inParallel(ctx, n, func(ctx context.Context, _ int) error {
		worker := <-workers
		defer func() { workers <- worker }()
		return place(ctx, worker)
	})
}

// calm measures reading and ordering in turn, at one connection, until enough reports true.
func (s *shop) calm(ctx context.Context, enough func() bool) (c calm, err error) {
	get, _, closeGet, err := workloadNamed("GET order").drive(s, 1)
	if err != nil {
		return c, err
	}
	defer closeGet()
	post, _, closePost, err := workloadNamed("POST order").drive(s, 1)
	if err != nil {
		return c, err
	}
	defer closePost()
	const slice = time.Second
	for !enough() {
		some, err := load(ctx, 1, slice, get)
		if err != nil {
			return c, err
		}
		c.get.add(some)
		if some, err = load(ctx, 1, slice, post); err != nil {
			return c, err
		}
		c.post.add(some)
	}
	return c, nil
}

// allExpired returns a function that reports whether so many payments have expired.
func (s *shop) allExpired(ctx context.Context, n int) func() bool {
	return func() bool {
		count, err := s.countPayments(ctx, "expired")
		return err == nil && count >= n
	}
}

// countPayments returns how many payments have an event of a kind.
func (s *shop) countPayments(ctx context.Context, kind string) (int, error) {
	cons, err := s.log.CreateConsumer(ctx, "PAYMENTS", jetstream.ConsumerConfig{
		FilterSubject: "events.payment.*." + kind, AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute})
	if err != nil {
		return 0, err
	}
	return int(cons.CachedInfo().NumPending), s.log.DeleteConsumer(ctx, "PAYMENTS", cons.CachedInfo().Name)
}

// logInAgain gives the shop the customers that it had before it was stopped.
func (s *shop) logInAgain(ctx context.Context, known []*customer) error {
	for _, before := range known[:1] {
		c := &customer{Client: s.web.Session(), shop: s, goods: before.goods, email: before.email, orders: before.orders}
		t, err := c.LogIn(ctx, c.email, adminPassword)
		if err != nil {
			return err
		}
		c.token = t.AccessToken
		s.customers = append(s.customers, c)
	}
	s.loggedIn = time.Now()
	return nil
}

func (r stormed) print() {
	fmt.Printf("\nexpiry storm: %d payments due at once have expired after %.1f s\n", r.count, r.took.Seconds())
	for _, row := range []struct {
		name          string
		before, while result
	}{{"GET order", r.before.get, r.while.get}, {"POST order", r.before.post, r.while.post}} {
		fmt.Printf("%-25s at one connection: p50 %s ms, p99 %s ms before; p50 %s ms, p99 %s ms meanwhile\n", row.name,
			milliseconds(row.before.percentile(50)), milliseconds(row.before.percentile(99)),
			milliseconds(row.while.percentile(50)), milliseconds(row.while.percentile(99)))
	}
}
