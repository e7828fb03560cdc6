package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"lonja/client"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/services/catalog"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/services/receipts"
	"lonja/shop/shoptest"
)

// shop is a whole shop: real services on a real NATS server, and a gateway.
type shop struct {
	*shoptest.Shop
	url      string
	gateway  *httptest.Server
	dirs     map[string]string       // of the services' views
	stopping map[string]func() error // ends a service
}

const (
	adminEmail    = "admin@example.com"
	adminPassword = "a long password"
)

func openShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{Shop: shoptest.Start(t), dirs: map[string]string{}, stopping: map[string]func() error{}}
	names := []string{"catalog", "identity", "inventory", "orders", "payments", "receipts"}
	for _, name := range names {
		s.dirs[name] = t.TempDir()
		s.start(name)
	}
	handler, err := gateway.New(gateway.Config{Client: s.Client, Revoked: revocation.New(s.Conn), DeadLetters: bus.NewDeadLetterQueue(s.JS),
		Streams: s.Streams, Services: names, PublicURL: "http://shop.example", Local: true, Sandbox: true})
	if err != nil {
		t.Fatal(err)
	}
	s.gateway = httptest.NewServer(handler)
	t.Cleanup(s.gateway.Close)
	s.url = s.gateway.URL
	return s
}

// start starts a service, again where it was stopped.
func (s *shop) start(name string) {
	service := map[string]func() *service.Service{
		"catalog": catalog.New,
		"identity": func() *service.Service {
			return identity.New(identity.Config{AdminEmail: adminEmail, AdminPassword: adminPassword})
		},
		"inventory": func() *service.Service { return inventory.New(inventory.Config{}) },
		"orders":    func() *service.Service { return orders.New(orders.Config{}) },
		"payments": func() *service.Service {
			return payments.New(payments.Config{Providers: []payments.Provider{payments.Sandbox()}})
		},
		"receipts": func() *service.Service { return receipts.New(receipts.Config{}) },
	}[name]()
	s.stopping[name] = s.Run(service, "a", s.dirs[name])
}

// theShop is shared by all tests that leave it as it is but for what they add.
var theShop *shop

func TestMain(m *testing.M) {
	os.Exit(func() int {
		t := &mainTest{}
		defer t.end()
		theShop = openShop(t)
		return m.Run()
	}())
}

// mainTest stands for the test that opens the shop for all others, since TestMain
// is given none.
type mainTest struct {
	testing.TB
	cleanups []func()
}

func (t *mainTest) Helper()                   {}
func (t *mainTest) Context() context.Context  { return context.Background() }
func (t *mainTest) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *mainTest) Log(...any)                {}
func (t *mainTest) Fatal(args ...any)         { log.Panic(args...) }
func (t *mainTest) Fatalf(f string, a ...any) { log.Panicf(f, a...) }
func (t *mainTest) TempDir() string {
	dir, err := os.MkdirTemp("", "lonja-client-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (t *mainTest) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// at is a client of a shop.
func at(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// boss is the shop's administrator.
func (s *shop) boss(t testing.TB, options ...client.Option) *client.Client {
	t.Helper()
	return at(t, s.url, append(options, client.WithPassword(adminEmail, adminPassword))...)
}

// sells puts a product on the shelf and returns what its buyers must have seen.
func (s *shop) sells(t testing.TB, sku string, price, pieces int64) (seen string) {
	t.Helper()
	boss := s.boss(t)
	if _, err := boss.CreateProduct(t.Context(), client.NewProduct{SKU: sku, Name: "Lamp " + sku, Price: client.Money{Amount: price, Currency: "GBP"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := boss.SetStock(t.Context(), sku, pieces); err != nil {
		t.Fatal(err)
	}
	return boss.Consistency()
}

// registers is a new customer.
func (s *shop) registers(t testing.TB, name string, options ...client.Option) *client.Client {
	t.Helper()
	c := at(t, s.url, options...)
	if _, err := c.Register(t.Context(), client.NewAccount{Name: name, Email: name + "@example.com", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	return c
}

var names atomic.Int64

// unique is a name that no other test, or run of a test, has used.
func unique(name string) string { return fmt.Sprint(name, "-", names.Add(1)) }

// transport is an http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through is an HTTP client whose requests go through a function.
func through(f transport) client.Option { return client.WithHTTPClient(&http.Client{Transport: f}) }

func lamps(sku string, n int64) client.NewOrder {
	return client.NewOrder{Items: []client.OrderLine{{SKU: sku, Quantity: n}}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("must: ", err))
	}
	return v
}
