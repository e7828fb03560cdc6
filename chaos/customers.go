package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"lonja/client"
	"lonja/events"
)

// What the shop sells: plenty of most things, and little of some.
const (
	products = 12
	plenty   = 1_000_000
	scarce   = 40
)

func sku(n int) string { return fmt.Sprintf("SKU-%02d", n) }

func piecesOf(n int) int {
	if n < 2 {
		return scarce
	}
	return plenty
}

// crowd is the load: customers who order, pay, think twice and cancel, some of
// them impatient; and clerks, who move one product's stock (see linear.go).
type crowd struct {
	shop      *shop
	history   *history
	boss      *person
	customers []*person
	patient   bool // nobody gives up early
	clerks    *clerks
	stop      context.CancelFunc
	buying    sync.WaitGroup
}

// invite opens the shop's shelves and the customers' accounts.
func invite(ctx context.Context, s *shop, h *history, customers int) (*crowd, error) {
	c := &crowd{shop: s, history: h, boss: newPerson(s, h, adminEmail, adminPassword, 0)}
	if err := c.boss.logIn(ctx); err != nil {
		return nil, err
	}
	for n := range products {
		if err := c.boss.sells(ctx, sku(n), piecesOf(n)); err != nil {
			return nil, err
		}
	}
	var err error
	c.customers, err = register(ctx, s, h, "customer", customers)
	return c, err
}

// register opens accounts, a few at a time.
func register(ctx context.Context, s *shop, h *history, name string, n int) ([]*person, error) {
	people := make([]*person, n)
	err := inParallel(8, n, func(i int) error {
		people[i] = newPerson(s, h, fmt.Sprintf("%s%d@example.com", name, i), "a good password", i)
		return people[i].register(ctx)
	})
	return people, err
}

// inParallel calls do for the numbers below n, some at a time, and returns an
// error if there was one.
func inParallel(width, n int, do func(int) error) error {
	slots, failed := make(chan struct{}, width), make(chan error, n)
	for i := range n {
		slots <- struct{}{}
		go func() {
			failed <- do(i)
			<-slots
		}()
	}
	var err error
	for range n {
		if e := <-failed; e != nil {
			err = e
		}
	}
	return err
}

// begin lets the crowd buy until end.
func (c *crowd) begin(ctx context.Context, seed uint64) {
	ctx, c.stop = context.WithCancel(ctx)
	c.history.began = time.Now()
	for i, p := range c.customers {
		b := &buyer{person: p, patient: c.patient, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		c.buying.Go(func() { b.buy(ctx) })
	}
	if c.clerks != nil {
		c.buying.Go(func() { c.clerks.work(ctx) })
	}
}

// end waits until everybody has finished what they were about.
func (c *crowd) end() {
	if c.stop != nil {
		c.stop()
		c.buying.Wait()
	}
}

// buyer is a customer at work.
type buyer struct {
	*person
	patient bool
	rng     *rand.Rand
	orders  []string
	placed  int
}

func (b *buyer) buy(ctx context.Context) {
	for pause(ctx, time.Duration(2+b.rng.IntN(15))*time.Millisecond) {
		switch n := b.rng.IntN(100); {
		case n < 55 || len(b.orders) == 0:
			b.place(ctx)
		case n < 85:
			b.pay(ctx, b.some())
		case n < 92:
			b.cancel(ctx, b.some())
		default:
			_, _ = b.do(context.WithoutCancel(ctx), "GET", "/api/products?limit=5", "")
		}
	}
}

func (b *buyer) some() string { return b.orders[b.rng.IntN(len(b.orders))] }

func (b *buyer) place(ctx context.Context) {
	b.placed++
	w := &wish{kind: "place", who: b.person, path: "/api/orders", key: fmt.Sprintf("%s-%d", b.email, b.placed),
		body: orderOf(sku(b.rng.IntN(products)), 1+b.rng.IntN(3))}
	b.history.add(w)
	if b.insist(ctx, w, "POST") && w.order != "" {
		b.orders = append(b.orders, w.order)
	}
}

// pay pays an order that awaits it; sometimes two hands press the button.
func (b *buyer) pay(ctx context.Context, order string) {
	o, err := b.GetOrder(context.WithoutCancel(ctx), order)
	if err != nil || o.Payment == nil || o.Payment.Status != client.PaymentPending {
		return
	}
	hands := 1
	if b.rng.IntN(5) == 0 {
		hands = 2
	}
	var paying sync.WaitGroup
	for range hands {
		w := &wish{kind: "pay", who: b.person, order: order, body: `{"outcome":"pay"}`,
			path: "/sandbox/payments/" + string(events.PaymentFor(events.OrderID(order)))}
		b.history.add(w)
		impatience := b.impatience()
		paying.Go(func() { b.try(ctx, w, "POST", impatience) })
	}
	paying.Wait()
}

func (b *buyer) cancel(ctx context.Context, order string) {
	w := &wish{kind: "cancel", who: b.person, order: order, path: "/api/orders/" + order, body: `{"status":"cancelled"}`}
	b.history.add(w)
	b.insist(ctx, w, "PATCH")
}

// impatience is how long the customer waits for an answer, 0 for as long as it
// takes.
func (b *buyer) impatience() time.Duration {
	if b.patient || b.rng.IntN(5) > 0 {
		return 0
	}
	return time.Duration(1+b.rng.IntN(60)) * time.Millisecond
}

// insist tries a command, and again with the same key while nobody knows what came
// of it. One in ten gives up. It is true when the command was granted.
func (b *buyer) insist(ctx context.Context, w *wish, method string) bool {
	for b.try(ctx, w, method, b.impatience()); w.result == unknown; b.try(ctx, w, method, 0) {
		if b.rng.IntN(10) == 0 && !b.patient || !pause(ctx, time.Duration(10+b.rng.IntN(90))*time.Millisecond) {
			break
		}
	}
	return w.result == ok
}

// try sends a command once and notes what is known of it from then on. What was
// ever in doubt is only failed once it was refused for good.
func (b *buyer) try(ctx context.Context, w *wish, method string, impatience time.Duration) {
	if w.tries++; w.tries == 1 {
		w.began = time.Now()
	}
	// A request that is under way when the load ends is finished.
	ctx = context.WithoutCancel(ctx)
	if impatience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, impatience)
		defer cancel()
	}
	a, err := b.do(ctx, method, w.path, w.body, "Idempotency-Key", w.key)
	if a.status == 401 { // the access token has expired
		_ = b.logIn(ctx)
	}
	b.history.mu.Lock()
	defer b.history.mu.Unlock()
	if w.ended, w.result = time.Now(), unknown; err == nil {
		w.learn(a)
	}
}

// learn notes what an answer says.
func (w *wish) learn(a answer) {
	w.status = a.status
	switch {
	case a.status == 202:
		w.location, w.result = a.header.Get("Location"), unknown
	case a.status < 300:
		w.result = ok
		if w.kind == "place" {
			w.order = orderIn(a.body)
		}
	case a.status < 500 && a.status != 401:
		w.result = failed
	default:
		w.result = unknown
	}
}

// orderIn is the id of the order that an answer shows.
func orderIn(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
