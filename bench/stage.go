package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/bench/seed"
)

// stage seeds the shop up to n orders and measures it.
func (s *scale) stage(ctx context.Context, n int) error {
	if err := s.seedTo(ctx, n); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, int) error
	}{{"log", s.measureLog}, {"rebuild", s.measureRebuild}, {"load", s.measureLoad}, {"restarts", s.measureRestarts}} {
		if s.only != "" && s.only != part.name {
			continue
		}
		if err := part.measure(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// measureLog measures what the stopped shop's streams take in a server's memory and on the
// disk, and audits them.
func (s *scale) measureLog(ctx context.Context, n int) error {
	empty, err := os.MkdirTemp("", "lonja-bench-empty-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	none, err := start(ctx, s.self, "broker", empty, "relaxed")
	if err != nil {
		return err
	}
	none.stop() // a helper ends by the signal
	server, err := start(ctx, s.self, "broker", filepath.Join(s.data, "nats"), "relaxed")
	if err != nil {
		return err
	}
	defer server.stop()
	messages, orders, err := countMessages(ctx, server.output["nats"])
	if err != nil {
		return err
	}
	base, _ := strconv.ParseInt(none.output["heap"], 10, 64)
	heap, _ := strconv.ParseInt(server.output["heap"], 10, 64)
	s.out.add(n, "in the streams", fmt.Sprintf("%d orders, %d messages", orders, messages))
	s.out.add(n, "NATS server's heap for the streams", fmt.Sprintf("%d MB%s; opened in %d ms", (heap-base)>>20, s.heapOfMore(heap-base, messages), server.toReady.Milliseconds()))
	size, err := sizeOf(filepath.Join(s.data, "nats"))
	if err != nil {
		return err
	}
	s.out.add(n, "disk of the streams", megabytes(size))
	return s.audit(ctx, n, server.output["nats"])
}

// heapOfMore says how much of a server's heap each message takes that was added since the stage
// before.
func (s *scale) heapOfMore(heap, messages int64) (text string) {
	if more := messages - s.messages; s.messages > 0 && more > 0 {
		text = fmt.Sprintf(", %d B a message more", (heap-s.heap)/more)
	}
	s.heap, s.messages = heap, messages
	return text
}

// measureRebuild removes the orders service's views and measures how fast they are built.
func (s *scale) measureRebuild(ctx context.Context, n int) error {
	if err := os.RemoveAll(filepath.Join(s.data, "orders")); err != nil {
		return err
	}
	began := time.Now()
	shop, err := open(ctx, s.program, s.data, seed.Flags...)
	if err != nil {
		return err
	}
	defer shop.stop()
	if err := awaitView(ctx, shop.log, "feeds the view book", 3); err != nil {
		return err
	}
	took := time.Since(began)
	events, err := endsOf(ctx, shop.log, "ORDERS", "INVENTORY", "PAYMENTS")
	if err != nil {
		return err
	}
	s.out.add(n, "orders view rebuilt", fmt.Sprintf("%.0f events/s with the start of the shop", float64(events)/took.Seconds()))
	if err := awaitReactions(ctx, shop.log); err != nil {
		return err
	}
	return shop.stop()
}

// restBefore is how long nobody asks the shop for anything before its memory counts as that at rest.
const restBefore = 10 * time.Second

// measureLoad drives the shop with its workloads.
func (s *scale) measureLoad(ctx context.Context, n int) error {
	shop, err := s.openSeeded(ctx)
	if err != nil {
		return err
	}
	defer shop.stop()
	select {
	case <-time.After(restBefore):
	case <-ctx.Done():
		return ctx.Err()
	}
	now, _, err := shop.memory()
	if err != nil {
		return err
	}
	s.out.add(n, "memory at rest", megabytes(now))
	views, err := s.viewsSize()
	if err != nil {
		return err
	}
	s.out.add(n, "disk of the views", megabytes(views))
	for _, w := range scaleWorkloads {
		for _, connections := range w.connections {
			if err := s.measureWorkload(ctx, n, shop, w, connections); err != nil {
				return fmt.Errorf("%s at %d connections: %w", w.name, connections, err)
			}
		}
	}
	_, peak, err := shop.memory()
	if err != nil {
		return err
	}
	s.out.add(n, "memory at its highest", megabytes(peak))
	return shop.stop()
}

func (s *scale) measureWorkload(ctx context.Context, n int, shop *shop, w scaleWorkload, connections int) error {
	if err := shop.keepLoggedIn(ctx); err != nil {
		return err
	}
	op, _, closeAll, err := w.drive(shop, connections)
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := load(ctx, connections, s.duration/4, op); err != nil { // warm up
		return err
	}
	var r row
	if err := r.run(ctx, shop, op, connections, s.duration); err != nil {
		return err
	}
	s.out.addRate(n, fmt.Sprintf("%s, %d", w.name, connections), r.shop.perSecond(), fmt.Sprintf("p50 %s ms, p99 %s ms, %d µs CPU",
		milliseconds(r.shop.percentile(50)), milliseconds(r.shop.percentile(99)), each(r.server, r.shop.count)))
	if w.fills {
		return awaitReactions(ctx, shop.log)
	}
	return nil
}

// openSeeded starts the shop, logs its people in, and waits until it is at rest.
func (s *scale) openSeeded(ctx context.Context) (*shop, error) {
	shop, err := open(ctx, s.program, s.data, seed.Flags...)
	if err != nil {
		return nil, err
	}
	if err := shop.logInSeeded(ctx); err != nil {
		return nil, errors.Join(err, shop.stop())
	}
	if err := awaitReactions(ctx, shop.log); err != nil {
		return nil, errors.Join(err, shop.stop())
	}
	return shop, nil
}

// logInSeeded logs in the people of a seeded shop. Each customer has ordered before.
func (s *shop) logInSeeded(ctx context.Context) error {
	if _, err := s.logInAdmin(ctx); err != nil {
		return err
	}
	t, err := s.admin.Refresh(ctx)
	if err != nil {
		return err
	}
	s.adminToken = t.AccessToken
	for n := range customers {
		c := s.seededCustomer(n)
		if err := c.logIn(ctx); err != nil {
			return err
		}
		placed, err := c.place(ctx)
		if err != nil {
			return err
		}
		c.ordered(placed.ID)
		s.customers = append(s.customers, c)
	}
	s.loggedIn = time.Now()
	// At its first start, a service may read the whole log before it goes on with an order.
	_, err = s.awaitIdle(ctx)
	return err
}

// measureRestarts measures how long the shop takes to be ready, and until its reactions have
// caught up, after a clean stop and after a crash under load.
func (s *scale) measureRestarts(ctx context.Context, n int) error {
	shop, err := s.openSeeded(ctx)
	if err != nil {
		return err
	}
	by := shop.customers[0]
	if err := shop.stop(); err != nil {
		return err
	}
	if shop, err = s.restart(ctx, n, "clean stop, then", by.token); err != nil {
		return err
	}
	by.Client = shop.web.Session()
	shop.customers = []*customer{by}
	// Whoever orders waits until the order awaits its payment, so a restart is measured and not a queue.
	op, _, closeAll, err := workloads[1].drive(shop, 64)
	if err != nil {
		return errors.Join(err, shop.stop())
	}
	defer closeAll()
	_, err = load(ctx, 64, s.duration, op)
	shop.conn.Close()
	shop.kill()
	if err != nil {
		return err
	}
	if shop, err = s.restart(ctx, n, "kill -9 under load, then", by.token); err != nil {
		return err
	}
	return shop.stop()
}

// restart starts the shop again and waits until a new order awaits its payment and every
// reaction has caught up.
func (s *scale) restart(ctx context.Context, n int, what, token string) (*shop, error) {
	began := time.Now()
	shop, err := open(ctx, s.program, s.data, seed.Flags...)
	if err != nil {
		return nil, err
	}
	by := shop.seededCustomer(0)
	by.token = token
	if err := awaitOrder(shop, by); err != nil {
		return nil, errors.Join(err, shop.stop())
	}
	first := time.Since(began)
	if err := awaitReactions(ctx, shop.log); err != nil {
		return nil, errors.Join(err, shop.stop())
	}
	s.out.add(n, what, fmt.Sprintf("ready in %.1f s, a new order awaits its payment after %.1f s, caught up after %.1f s", shop.toReady.Seconds(), first.Seconds(), time.Since(began).Seconds()))
	return shop, nil
}

// awaitOrder places an order and waits until it awaits its payment.
func awaitOrder(s *shop, by *customer) error {
	c, err := connect(s.http)
	if err != nil {
		return err
	}
	defer c.close()
	got, err := c.roundTrip(order(c, s.http, by, field{"Prefer", "wait=25"}))
	if err == nil {
		err = checkOrder(got, by)
	}
	for began := time.Now(); err == nil && !isAwaiting(got); {
		if time.Since(began) > settleTimeout {
			return fmt.Errorf("order %s does not await its payment after %v", by.lastOrder(), settleTimeout)
		}
		if got, err = c.roundTrip(get(c, s.http, "/api/orders/"+by.lastOrder(), by.token)); err == nil {
			err = checkOK(got, by)
		}
	}
	return err
}

// endsOf returns how many messages some streams hold.
func endsOf(ctx context.Context, js jetstream.JetStream, names ...string) (n uint64, err error) {
	for _, name := range names {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return 0, err
		}
		n += stream.CachedInfo().State.Msgs
	}
	return n, nil
}
