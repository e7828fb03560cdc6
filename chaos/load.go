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

// The shop's products: most have plenty of stock, two are scarce.
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

// load is the load on a shop: customers who order, pay and cancel, some of them
// with short timeouts, and stock clients, who change one product's stock (see
// linear.go).
type load struct {
	shop         *shop
	history      *history
	admin        *user
	customers    []*user
	patient      bool // no customer gives up early
	noRefunds    bool // nothing is refunded in part
	stockClients *stockClients
	stop         context.CancelFunc
	running      sync.WaitGroup
}

// newLoad creates the products and registers the customers.
func newLoad(ctx context.Context, s *shop, h *history, customers int) (*load, error) {
	c := &load{shop: s, history: h, admin: newUser(s, h, adminEmail, adminPassword, 0)}
	if err := c.admin.logIn(ctx); err != nil {
		return nil, err
	}
	for n := range products {
		if err := c.admin.createProduct(ctx, sku(n), piecesOf(n)); err != nil {
			return nil, err
		}
	}
	var err error
	c.customers, err = register(ctx, s, h, "customer", customers)
	return c, err
}

// register registers users, eight at a time.
func register(ctx context.Context, s *shop, h *history, name string, n int) ([]*user, error) {
	users := make([]*user, n)
	err := inParallel(8, n, func(i int) error {
		users[i] = newUser(s, h, fmt.Sprintf("%s%d@example.com", name, i), "a good password", i)
		return users[i].register(ctx)
	})
	return users, err
}

// inParallel calls do for the numbers below n, up to width at a time. It returns
// one of the errors.
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

// start starts the load. It runs until wait is called.
func (c *load) start(ctx context.Context, seed uint64) {
	ctx, c.stop = context.WithCancel(ctx)
	c.history.began = time.Now()
	for i, p := range c.customers {
		b := &buyer{user: p, clerk: c.admin.session(i), patient: c.patient, noRefunds: c.noRefunds, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		c.running.Go(func() { b.run(ctx) })
	}
	if c.stockClients != nil {
		c.running.Go(func() { c.stockClients.run(ctx) })
	}
}

// wait stops the load and waits until every request is finished.
func (c *load) wait() {
	if c.stop != nil {
		c.stop()
		c.running.Wait()
	}
}

// buyer is a customer that generates load.
type buyer struct {
	*user
	clerk     *user // who refunds
	patient   bool
	noRefunds bool
	rng       *rand.Rand
	orders    []string
	placed    int
	refunds   int
}

func (b *buyer) run(ctx context.Context) {
	for pause(ctx, time.Duration(2+b.rng.IntN(15))*time.Millisecond) {
		switch n := b.rng.IntN(100); {
		case n < 55 || len(b.orders) == 0:
			b.place(ctx)
		case n < 85:
			b.pay(ctx, b.randomOrder())
		case n < 92:
			b.cancel(ctx, b.randomOrder())
		case n < 96 && !b.noRefunds:
			b.refund(ctx, b.randomOrder())
		default:
			_, _ = b.do(context.WithoutCancel(ctx), "GET", "/api/products?limit=5", "")
		}
	}
}

func (b *buyer) randomOrder() string { return b.orders[b.rng.IntN(len(b.orders))] }

func (b *buyer) place(ctx context.Context) {
	b.placed++
	c := &command{kind: "place", by: b.user, path: "/api/orders", key: fmt.Sprintf("%s-%d", b.email, b.placed),
		body: orderOf(sku(b.rng.IntN(products)), 1+b.rng.IntN(3))}
	b.history.add(c)
	if b.sendUntilKnown(ctx, c, "POST") && c.order != "" {
		b.orders = append(b.orders, c.order)
	}
}

// pay pays an order that awaits payment, sometimes with two requests at once.
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
		c := &command{kind: "pay", by: b.user, order: order, body: `{"outcome":"pay"}`,
			path: "/sandbox/payments/" + string(events.PaymentFor(events.OrderID(order)))}
		b.history.add(c)
		impatience := b.impatience()
		paying.Go(func() { b.send(ctx, c, "POST", impatience) })
	}
	paying.Wait()
}

func (b *buyer) cancel(ctx context.Context, order string) {
	c := &command{kind: "cancel", by: b.user, order: order, path: "/api/orders/" + order, body: `{"status":"cancelled"}`}
	b.history.add(c)
	b.sendUntilKnown(ctx, c, "PATCH")
}

// refund has the clerk give back a part of an order's money: a piece, which goes back into stock, some money,
// or the rest. Most orders are not paid or are cancelled, or have nothing left: then it is rejected.
func (b *buyer) refund(ctx context.Context, order string) {
	o, err := b.GetOrder(context.WithoutCancel(ctx), order)
	if err != nil || o.Status != client.Paid {
		return
	}
	b.refunds++
	bodies := []string{fmt.Sprintf(`{"lines":[{"sku":%q,"quantity":1,"restock":true}]}`, o.Items[0].SKU),
		fmt.Sprintf(`{"amount":{"amount":1,"currency":%q}}`, o.Currency), `{"reason":"the rest"}`}
	c := &command{kind: "refund", by: b.clerk, order: order, path: "/api/orders/" + order + "/refunds",
		key: fmt.Sprintf("%s-refund-%d", b.email, b.refunds), body: bodies[b.rng.IntN(len(bodies))]}
	b.history.add(c)
	b.sendUntilKnown(ctx, c, "POST")
}

// impatience returns a random timeout for an answer; 0 means none.
func (b *buyer) impatience() time.Duration {
	if b.patient || b.rng.IntN(5) > 0 {
		return 0
	}
	return time.Duration(1+b.rng.IntN(60)) * time.Millisecond
}

// sendUntilKnown sends a command, and sends it again with the same key while its
// result is unknown. Before each repetition one in ten customers gives up. It
// reports whether the command was accepted.
func (b *buyer) sendUntilKnown(ctx context.Context, c *command, method string) bool {
	for b.send(ctx, c, method, b.impatience()); c.result == unknown; b.send(ctx, c, method, 0) {
		if b.rng.IntN(10) == 0 && !b.patient || !pause(ctx, time.Duration(10+b.rng.IntN(90))*time.Millisecond) {
			break
		}
	}
	return c.result == ok
}

// send sends a command once and records what is known of its result.
func (b *buyer) send(ctx context.Context, c *command, method string, impatience time.Duration) {
	if c.tries++; c.tries == 1 {
		c.began = time.Now()
	}
	// A request that is under way when the load ends runs to its end.
	ctx = context.WithoutCancel(ctx)
	if impatience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, impatience)
		defer cancel()
	}
	a, err := c.by.do(ctx, method, c.path, c.body, "Idempotency-Key", c.key)
	if a.status == 401 { // the access token has expired
		_ = c.by.logIn(ctx)
	}
	b.history.mu.Lock()
	defer b.history.mu.Unlock()
	if c.ended, c.result = time.Now(), unknown; err == nil {
		c.record(a)
	}
}

// record records an answer.
func (c *command) record(a answer) {
	c.status = a.status
	switch {
	case a.status == 202:
		c.location, c.result = a.header.Get("Location"), unknown
	case a.status < 300:
		c.result = ok
		if c.kind == "place" {
			c.order = orderIn(a.body)
		}
	case a.status < 500 && a.status != 401:
		c.result = failed
	default:
		c.result = unknown
	}
}

// orderIn returns the id of the order in an answer.
func orderIn(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
