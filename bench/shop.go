package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/client"
)

const (
	adminEmail    = "admin@bench.example"
	adminPassword = "a long password for the bench"
	products      = 1000
	customers     = 16
)

// shop is a running `lonja up` with products, stock and customers.
type shop struct {
	*process
	http  string // host:port
	conn  *nats.Conn
	log   jetstream.JetStream
	web   *client.Client // without an account
	admin *client.Client
	// adminToken is for measured requests of a seeded shop.
	adminToken string
	customers  []*customer
	loggedIn   time.Time
}

// goods is what there is to order.
type goods struct {
	count int
	sku   func(n int) string
}

func (g goods) any() string { return g.sku(rand.IntN(g.count)) }

// customer is an account that orders.
type customer struct {
	*client.Client
	shop   *shop
	goods  goods
	email  string
	token  string // for the measured requests, which do not use the client
	mu     sync.Mutex
	orders []string // ids
}

func (c *customer) ordered(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders = append(c.orders, id)
}

func (c *customer) someOrder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders[rand.IntN(len(c.orders))]
}

func (c *customer) lastOrder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders[len(c.orders)-1]
}

// build builds the shop's program into dir.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "lonja")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "lonja/cmd/lonja").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// open starts the whole shop in one process, with every default but the ports and that it takes
// all orders: the loads find out how many it can take.
func open(ctx context.Context, program, data string, more ...string) (*shop, error) {
	return openHolding(ctx, program, data, append(takesAll(ctx, program), more...)...)
}

// takesAll returns the flags with which a program rejects no order because others wait. Earlier
// versions have none, and need none.
func takesAll(ctx context.Context, program string) []string {
	help, err := exec.CommandContext(ctx, program, "up", "--help").Output()
	if err != nil || !bytes.Contains(help, []byte("--order-wait")) {
		return nil
	}
	return []string{"--order-wait", "0s"}
}

// openHolding is open for a shop that takes only the orders that it can carry.
func openHolding(ctx context.Context, program, data string, more ...string) (*shop, error) {
	p, err := start(ctx, program, append([]string{"up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0",
		"--admin-email", adminEmail, "--admin-password", adminPassword}, more...)...)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(p.output["shop"])
	if err != nil || at.Host == "" || p.output["nats"] == "" {
		p.stop()
		return nil, fmt.Errorf("the shop did not print its URLs, but %q", p.output)
	}
	s := &shop{process: p, http: at.Host}
	// More customers log in at once than identity hashes passwords for, so some get
	// 429 and retry. Reads do not wait for consistency, as in the measured requests.
	s.web, err = client.New("http://"+s.http, client.WithRetries(60), client.WithoutConsistency())
	if err == nil {
		s.conn, err = nats.Connect(p.output["nats"])
	}
	if err == nil {
		s.log, err = jetstream.New(s.conn)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *shop) stop() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.process.stop()
}

// appended returns the number of messages on all streams of the shop.
func (s *shop) appended(ctx context.Context) (n uint64, err error) {
	streams := s.log.ListStreams(ctx)
	for info := range streams.Info() {
		n += info.State.LastSeq
	}
	return n, streams.Err()
}

func sku(n int) string { return fmt.Sprintf("SKU-%04d", n) }

// logInAdmin logs the administrator in.
func (s *shop) logInAdmin(ctx context.Context) (*client.User, error) {
	s.admin = s.web.Session(client.WithPassword(adminEmail, adminPassword))
	return s.admin.Me(ctx)
}

// seed creates products with stock for any number of orders, and customers who have
// ordered before.
func (s *shop) seed(ctx context.Context) (err error) {
	me, err := s.logInAdmin(ctx)
	if err != nil {
		return err
	}
	if _, err := s.admin.SetRoles(ctx, me.ID, []string{client.Admin, client.Staff, client.Customer}); err != nil {
		return err
	}
	if _, err := s.admin.Refresh(ctx); err != nil { // new tokens hold the new roles
		return err
	}
	if err := s.inParallel(ctx, products, s.createProduct); err != nil {
		return err
	}
	for n := range customers {
		s.customers = append(s.customers, &customer{Client: s.web.Session(), shop: s, goods: goods{products, sku}, email: customerEmail(n)})
	}
	s.loggedIn = time.Now()
	return s.inParallel(ctx, customers, s.registerCustomer)
}

func customerEmail(n int) string { return "customer" + strconv.Itoa(n) + "@bench.example" }

func (s *shop) createProduct(ctx context.Context, n int) error {
	_, err := s.admin.CreateProduct(ctx, client.NewProduct{
		SKU: sku(n), Name: fmt.Sprintf("Product number %d", n), Category: "category " + strconv.Itoa(n%10),
		Description: "A thing of which there are plenty, made for being ordered again and again.",
		Price:       client.Money{Amount: int64(100 + n), Currency: "EUR"},
	})
	if err != nil {
		return err
	}
	_, err = s.admin.SetStock(ctx, sku(n), 100_000_000)
	return err
}

// registerCustomer registers a customer and places ten orders.
func (s *shop) registerCustomer(ctx context.Context, n int) error {
	c := s.customers[n]
	if err := c.register(ctx); err != nil {
		return err
	}
	for range 10 {
		if err := c.orderSome(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *customer) register(ctx context.Context) error {
	// The key makes a retry repeat the registration instead of ending in 409: a
	// registration can be recorded and the login that follows it still get 429.
	t, err := c.Register(ctx, client.NewAccount{Name: "Customer", Email: c.email, Password: adminPassword}, client.Key("bench/account/"+c.email))
	if err != nil {
		return err
	}
	c.token = t.AccessToken
	return nil
}

func (c *customer) place(ctx context.Context, options ...client.CallOption) (*client.Order, error) {
	var o client.NewOrder
	if err := json.Unmarshal(someItems(nil, c.goods), &o); err != nil {
		return nil, err
	}
	return c.PlaceOrder(ctx, o, options...)
}

// orderSome places an order and waits until it awaits its payment.
func (c *customer) orderSome(ctx context.Context) error {
	order, err := c.place(ctx, client.Wait(30*time.Second))
	if err != nil {
		return err
	}
	if order.Status != client.AwaitingPayment {
		return fmt.Errorf("an order is %s, not awaiting its payment", order.Status)
	}
	c.ordered(order.ID)
	return nil
}

// someItems appends the body of an order with three lines.
func someItems(b []byte, of goods) []byte {
	b = append(b, `{"items":[`...)
	first := rand.IntN(of.count)
	for i := range 3 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":"`...)
		b = append(b, of.sku((first+i*7)%of.count)...)
		b = append(b, `","quantity":`...)
		b = strconv.AppendInt(b, int64(1+i), 10)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// keepLoggedIn renews the customers' access tokens when they get old.
func (s *shop) keepLoggedIn(ctx context.Context) error {
	if time.Since(s.loggedIn) < 2*time.Minute {
		return nil
	}
	s.loggedIn = time.Now()
	return s.inParallel(ctx, len(s.customers), func(ctx context.Context, n int) error {
		t, err := s.customers[n].Refresh(ctx)
		if err == nil {
			s.customers[n].token = t.AccessToken
		}
		return err
	})
}

// awaitIdle waits until every order has progressed, and returns how long that took.
func (s *shop) awaitIdle(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for _, c := range s.customers {
		// A customer's last order is handled last.
		for id := c.lastOrder(); ; {
			order, err := c.GetOrder(ctx, id)
			if err == nil && order.Status != client.Placed {
				break
			}
			if time.Since(began) > settleTimeout {
				return 0, errors.Join(fmt.Errorf("order %s has not progressed", id), err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return time.Since(began), nil
}

// settleTimeout bounds the time that awaitIdle waits.
const settleTimeout = 5 * time.Minute

// inParallel calls handle for the numbers below n, eight at a time.
func (s *shop) inParallel(ctx context.Context, n int, handle func(context.Context, int) error) error {
	next := make(chan int)
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() {
			var err error
			for i := range next {
				if err == nil {
					err = handle(ctx, i)
				}
			}
			failed <- err
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var err error
	for range cap(failed) {
		if e := <-failed; e != nil {
			err = e
		}
	}
	return err
}
