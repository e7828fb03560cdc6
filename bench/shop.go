package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	admin     string // access token
	customers []*customer
	loggedIn  time.Time
}

// customer is an account that orders.
type customer struct {
	email, token string
	mu           sync.Mutex
	orders       []string // ids
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
	if s.conn, err = nats.Connect(p.said["nats"]); err == nil {
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

// call sends one request that need not be cheap.
func (s *shop) call(ctx context.Context, method, path, token string, body, into any, headers ...field) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.http+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if body == nil {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		req.Header.Set(h.name, h.value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusTooManyRequests {
		select { // there are more who log in than are hashed at once
		case <-time.After(time.Second):
			return s.call(ctx, method, path, token, body, into, headers...)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

func (s *shop) logIn(ctx context.Context, email, password string) (token string, err error) {
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err = s.call(ctx, http.MethodPost, "/api/auth/login", "", map[string]string{"email": email, "password": password}, &got)
	return got.AccessToken, err
}

func sku(n int) string { return fmt.Sprintf("SKU-%04d", n) }

// stockUp makes products with stock for any number of orders, and customers
// who have ordered before.
func (s *shop) stockUp(ctx context.Context) (err error) {
	if s.admin, err = s.logIn(ctx, adminEmail, adminPassword); err != nil {
		return err
	}
	var user struct{ User struct{ ID string } }
	if err := s.call(ctx, http.MethodGet, "/api/auth/verify", s.admin, nil, &user); err != nil {
		return err
	}
	if err := s.call(ctx, http.MethodPut, "/api/users/"+user.User.ID+"/roles", s.admin,
		map[string][]string{"roles": {"admin", "staff", "customer"}}, nil); err != nil {
		return err
	}
	if s.admin, err = s.logIn(ctx, adminEmail, adminPassword); err != nil {
		return err
	}
	if err := s.inParallel(ctx, products, s.offer); err != nil {
		return err
	}
	for n := range customers {
		s.customers = append(s.customers, &customer{email: "customer" + strconv.Itoa(n) + "@bench.example"})
	}
	s.loggedIn = time.Now()
	return s.inParallel(ctx, customers, s.welcome)
}

func (s *shop) offer(ctx context.Context, n int) error {
	err := s.call(ctx, http.MethodPost, "/api/products", s.admin, map[string]any{
		"sku": sku(n), "name": fmt.Sprintf("Product number %d", n), "category": "category " + strconv.Itoa(n%10),
		"description": "A thing of which there are plenty, made for being ordered again and again.",
		"price":       map[string]any{"amount": 100 + n, "currency": "EUR"},
	}, nil)
	if err != nil {
		return err
	}
	return s.call(ctx, http.MethodPut, "/api/products/"+sku(n)+"/stock", s.admin, map[string]int{"on_hand": 100_000_000}, nil)
}

// welcome registers a customer, who orders some things.
func (s *shop) welcome(ctx context.Context, n int) error {
	c := s.customers[n]
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := s.call(ctx, http.MethodPost, "/api/auth/register", "",
		map[string]string{"name": "Customer", "email": c.email, "password": adminPassword}, &got); err != nil {
		return err
	}
	c.token = got.AccessToken
	for range 10 {
		var order struct{ ID, Status string }
		if err := s.call(ctx, http.MethodPost, "/api/orders", c.token, json.RawMessage(someItems(nil)), &order, field{"Prefer", "wait=30"}); err != nil {
			return err
		}
		if order.Status != "awaiting_payment" {
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
	return s.inParallel(ctx, len(s.customers), func(ctx context.Context, n int) (err error) {
		s.customers[n].token, err = s.logIn(ctx, s.customers[n].email, adminPassword)
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
			var order struct{ Status string }
			err := s.call(ctx, http.MethodGet, "/api/orders/"+id, c.token, nil, &order)
			if err == nil && order.Status != "placed" {
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
