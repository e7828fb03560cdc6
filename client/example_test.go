package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"lonja/client"
)

// The README shows the body of this function; see TestTheREADMEShowsTheExample.
func buys(ctx context.Context, baseURL string) error {
	shop, err := client.New(baseURL) // one for the program
	if err != nil {
		return err
	}
	ana := shop.Session() // one for each user
	if _, err := ana.LogIn(ctx, "ana@example.com", "correct horse"); err != nil {
		return err
	}
	order, err := ana.PlaceOrder(ctx, client.NewOrder{Items: []client.OrderLine{{SKU: "85123A", Quantity: 2}}}, client.Wait(10*time.Second))
	if err != nil { // a client.Conflict: at another price, or no longer sold
		return err
	}
	fmt.Println(order.Total.Amount, order.Total.Currency, order.Status)
	if order.Payment != nil { // in the sandbox; with a real provider the customer pays at order.Payment.URL
		_, err = ana.SettlePayment(ctx, order.Payment.ID, client.Pay)
	}
	return err
}

// A customer orders, pays, and follows the order.
func Example() {
	ctx := context.Background()
	openTheShelves()

	if err := buys(ctx, theShop.url); err != nil {
		log.Fatal(err)
	}
	ana := must(client.New(theShop.url, client.WithPassword("ana@example.com", "correct horse")))
	for order, err := range ana.AllOrders(ctx, client.OrderQuery{}) {
		if err != nil {
			log.Fatal(err)
		}
		for change, err := range ana.FollowOrder(ctx, order.ID) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("it is", change.Status)
			if change.Status == client.Paid {
				return
			}
		}
	}
	// Output:
	// 590 GBP awaiting_payment
	// it is placed
	// it is awaiting_payment
	// it is paid
}

// A storefront keeps tokens and what was seen beside its own session of each
// customer, and makes a client of them for each request.
func ExampleClient_Session() {
	ctx := context.Background()
	openTheShelves()
	type visit struct { // in the storefront's own store
		tokens client.Tokens
		seen   string
	}
	shop := must(client.New(theShop.url))
	var kept visit

	// At the login.
	visitor := shop.Session(client.OnTokens(func(t client.Tokens) { kept.tokens = t }))
	if _, err := visitor.LogIn(ctx, "ana@example.com", "correct horse"); err != nil {
		log.Fatal(err)
	}
	kept.seen = visitor.Consistency()

	// At every later request, in whichever process.
	visitor = shop.Session(client.WithTokens(kept.tokens), client.WithConsistency(kept.seen),
		client.OnTokens(func(t client.Tokens) { kept.tokens = t }))
	me, err := visitor.Me(ctx)
	fmt.Println(me.Name, err)
	// Output: Ana <nil>
}

// A customer takes along what the shop knows, and leaves.
func ExampleClient_Erase() {
	ctx := context.Background()
	eva := must(client.New(theShop.url))
	must(eva.Register(ctx, client.NewAccount{Name: "Eva", Email: "eva@example.com", Password: "correct horse"}))

	var file client.Response // its Body is the document to hand over
	kept := must(eva.Export(ctx, client.Self, client.Into(&file)))
	fmt.Println(kept.Account.User.Email, len(kept.Orders), "orders", len(file.Body) > 0)

	fmt.Println(eva.Erase(ctx, client.Self, "correct horse"))
	_, err := eva.LogIn(ctx, "eva@example.com", "correct horse")
	fmt.Println(errors.Is(err, client.Unauthenticated))
	// Output:
	// eva@example.com 0 orders true
	// <nil>
	// true
}

// A refusal says what is wrong, for programs and for people.
func ExampleProblem() {
	openTheShelves()
	shop := must(client.New(theShop.url))
	_, err := shop.GetProduct(context.Background(), "no-such-thing")

	var p *client.Problem
	fmt.Println(errors.Is(err, client.NotFound), errors.As(err, &p))
	fmt.Println(p.Status, p.Detail)
	// Output:
	// true true
	// 404 there is no product no-such-thing
}

var shelved bool

// openTheShelves sells a product to Ana.
func openTheShelves() {
	if shelved {
		return
	}
	shelved = true
	ctx := context.Background()
	boss := must(client.New(theShop.url, client.WithPassword(adminEmail, adminPassword)))
	must(boss.CreateProduct(ctx, client.NewProduct{SKU: "85123A", Name: "White hanging heart", Price: client.Money{Amount: 295, Currency: "GBP"}}))
	must(boss.SetStock(ctx, "85123A", 100))
	must(boss.Session().Register(ctx, client.NewAccount{Name: "Ana", Email: "ana@example.com", Password: "correct horse"}))
}

// What README.md shows compiles and works, since it is what Example runs.
func TestTheREADMEShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "## A client in Go\n")
	_, section, begun := strings.Cut(section, "```go\n")
	shown, _, ended := strings.Cut(section, "```")
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(source), "func buys(ctx context.Context, baseURL string) error {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	want := strings.ReplaceAll("\n"+body, "\n\t", "\n")
	want = strings.Replace(strings.TrimPrefix(want, "\n"), "client.New(baseURL)", `client.New("http://127.0.0.1:8080")`, 1) + "\n"
	if !found || !begun || !ended || shown != want {
		t.Errorf("README.md shows\n%s\nand Example runs\n%s", shown, want)
	}
}
