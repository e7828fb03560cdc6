package main

import (
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
	http      string // host:port
	conn      *nats.Conn
	log       jetstream.JetStream
	web       *client.Client // nobody's
	admin     *client.Client
	customers []*customer
	loggedIn  time.Time
}

// customer is an account that orders.
type customer struct {
	*client.Client
	email  string
	token  string // for requests that the client does not send
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

// open starts the whole shop in one process, with every default but the ports.
func open(ctx context.Context, program, data string, more ...string) (*shop, error) {
	p, err := start(ctx, program, append([]string{"up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0",
		"--admin-email", adminEmail, "--admin-password", adminPassword}, more...)...)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(p.said["shop"])
	if err != nil || at.Host == "" || p.said["nats"] == "" {
		p.stop()
		return nil, fmt.Errorf("the shop did not say where it is, but %q", p.said)
	}
	s := &shop{process: p, http: at.Host}
	// More log in than are hashed at once, and are told to come back. What is read
	// here is not waited for, as it is not in the measured requests.
	s.web, err = client.New("http://"+s.http, client.WithRetries(60), client.WithoutConsistency())
	if err == nil {
		s.conn, err = nats.Connect(p.said["nats"])
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

// appended is how many messages the shop has put on its streams.
func (s *shop) appended(ctx context.Context) (n uint64, err error) {
	streams := s.log.ListStreams(ctx)
	for info := range streams.Info() {
		n += info.State.LastSeq
	}
	return n, streams.Err()
}

func sku(n int) string { return fmt.Sprintf("SKU-%04d", n) }

// stockUp makes products with stock for any number of orders, and customers
// who have ordered before.
func (s *shop) stockUp(ctx context.Context) (err error) {
	s.admin = s.web.Session(client.WithPassword(adminEmail, adminPassword))
	me, err := s.admin.Me(ctx)
	if err != nil {
		return err
	}
	if _, err := s.admin.SetRoles(ctx, me.ID, []string{client.Admin, client.Staff, client.Customer}); err != nil {
		return err
	}
	if _, err := s.admin.Refresh(ctx); err != nil { // the new roles stand in new tokens
		return err
	}
	if err := s.inParallel(ctx, products, s.offer); err != nil {
		return err
	}
	for n := range customers {
		s.customers = append(s.customers, &customer{Client: s.web.Session(), email: "customer" + strconv.Itoa(n) + "@bench.example"})
	}
	s.loggedIn = time.Now()
	return s.inParallel(ctx, customers, s.welcome)
}

func (s *shop) offer(ctx context.Context, n int) error {
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

// welcome registers a customer, who orders some things.
func (s *shop) welcome(ctx context.Context, n int) error {
	c := s.customers[n]
	t, err := c.Register(ctx, client.NewAccount{Name: "Customer", Email: c.email, Password: adminPassword})
	if err != nil {
		return err
	}
	c.token = t.AccessToken
	for range 10 {
		var o client.NewOrder
		if err := json.Unmarshal(someItems(nil), &o); err != nil {
			return err
		}
		order, err := c.PlaceOrder(ctx, o, client.Wait(30*time.Second))
		if err != nil {
			return err
		}
		if order.Status != client.AwaitingPayment {
			return fmt.Errorf("a first order is %s", order.Status)
		}
		c.ordered(order.ID)
	}
	return nil
}

// someItems appends the body of an order with three lines.
func someItems(b []byte) []byte {
	b = append(b, `{"items":[`...)
	first := rand.IntN(products)
	for i := range 3 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":"`...)
		b = append(b, sku((first+i*7)%products)...)
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

// settle waits until the shop has moved every order on, and returns how long
// that took.
func (s *shop) settle(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for _, c := range s.customers {
		// A customer's last order is taken up last.
		for id := c.lastOrder(); ; {
			order, err := c.GetOrder(ctx, id)
			if err == nil && order.Status != client.Placed {
				break
			}
			if time.Since(began) > settleTimeout {
				return 0, errors.Join(fmt.Errorf("order %s has not moved on", id), err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return time.Since(began), nil
}

// settleTimeout is how far behind the shop may be.
const settleTimeout = 5 * time.Minute

// inParallel handles the numbers below n, a few at a time.
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
