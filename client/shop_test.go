package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lonja/client"
	"lonja/events"
	"lonja/kit/bus"
	"lonja/shop/shoptest"
)

func TestOrder_FromPlacingToDelivery(t *testing.T) {
	ctx, door := t.Context(), unique("door")
	seen := theShop.sells(t, door, 339, 10)
	ana := theShop.registers(t, door, client.WithConsistency(seen))
	var first, again client.Response
	order, err := ana.PlaceOrder(ctx, lamps(door, 2), client.Key("o1"), client.Wait(10*time.Second), client.Into(&first))
	if err != nil || order.Status != client.AwaitingPayment || order.Total.Amount != 678 || order.Payment == nil || first.Replayed() {
		t.Fatalf("%+v, %v", order, err)
	}
	same, err := ana.PlaceOrder(ctx, lamps(door, 2), client.Key("o1"), client.Into(&again))
	if err != nil || same.ID != order.ID || !again.Replayed() {
		t.Errorf("the same key made %+v, %v", same, err)
	}
	var p *client.Problem
	if _, err := ana.PlaceOrder(ctx, lamps(door, 3), client.Key("o1")); !errors.As(err, &p) || p.Status != 422 || p.Code != client.Invalid || p.Field != "Idempotency-Key" {
		t.Errorf("another order with the key: %v", err)
	}
	if paid, err := ana.SettlePayment(ctx, order.Payment.ID, client.Pay); err != nil || paid.Status != client.PaymentCaptured || paid.OrderID != order.ID {
		t.Fatalf("%+v, %v", paid, err)
	}
	// Ana follows it, while the shop sends it.
	boss, statuses := theShop.boss(t), []client.OrderStatus{}
	for change, err := range ana.FollowOrder(ctx, order.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if statuses = append(statuses, change.Status); change.Time.IsZero() || change.ID == "" {
			t.Errorf("a change without its time or ID: %+v", change)
		}
		switch change.Status {
		case client.Paid:
			shoptest.Await(theShop.Shop, func(e events.StockCommitted) bool { return string(e.OrderID) == order.ID })
			_, err = boss.ShipOrder(ctx, order.ID)
		case client.Shipped:
			_, err = boss.DeliverOrder(ctx, order.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []client.OrderStatus{client.Placed, client.AwaitingPayment, client.Paid, client.Shipped, client.Delivered}; !slices.Equal(statuses, want) {
		t.Errorf("followed %v; want %v", statuses, want)
	}
	if timeline, err := ana.OrderTimeline(ctx, order.ID); err != nil || len(timeline) < 8 || timeline[0].Type != "lonja.order.placed.v1" {
		t.Errorf("timeline %+v, %v", timeline, err)
	}
	if paid, err := ana.GetPayment(ctx, order.Payment.ID); err != nil || paid.Status != client.PaymentCaptured || paid.Amount != order.Total {
		t.Errorf("payment %+v, %v", paid, err)
	}
	if receipt, err := ana.GetReceipt(ctx, order.ID); err != nil || receipt.Number < 1 || receipt.OrderID != order.ID || receipt.Total != order.Total || len(receipt.Credits) > 0 {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	ana.Observe(boss.Consistency())
	if now, err := ana.GetOrder(ctx, order.ID); err != nil || now.Status != client.Delivered || now.Payment.Status != client.PaymentCaptured {
		t.Errorf("in the end %+v, %v", now, err)
	}
	if _, err := ana.CancelOrder(ctx, order.ID); !errors.Is(err, client.Conflict) {
		t.Errorf("cancelled what was delivered: %v", err)
	}
	if _, err := theShop.registers(t, unique("next-door")).GetOrder(ctx, order.ID); !errors.Is(err, client.NotFound) {
		t.Errorf("somebody else's order: %v", err)
	}
}

// Whose answers are all lost once still orders once.
func TestRetries_LostResponsesOrderOnce(t *testing.T) {
	ctx, name := t.Context(), unique("lost")
	seen := theShop.sells(t, name, 100, 100)
	var lost atomic.Int32
	loses := through(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && lost.Add(1)%2 == 1 {
			_, _ = io.Copy(io.Discard, res.Body) // the shop has done it
			res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	})
	ana := theShop.registers(t, name, loses, client.WithConsistency(seen), client.WithBackoff(time.Millisecond, time.Millisecond))
	for range 3 {
		if _, err := ana.PlaceOrder(ctx, lamps(name, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ana.Refresh(ctx); err != nil { // twice within its time
		t.Fatal(err)
	}
	mine, err := ana.ListOrders(ctx, client.OrderQuery{})
	if err != nil || mine.Meta.Total != 3 || lost.Load() < 10 {
		t.Errorf("%d orders after %d requests, %v", mine.Meta.Total, lost.Load(), err)
	}
}

func TestAll_ReadsEveryPage(t *testing.T) {
	ctx, boss, pages := t.Context(), theShop.boss(t), unique("pages")
	sku := func(i int) string { return fmt.Sprint(pages, "-", i) }
	for i := range 5 {
		p := client.NewProduct{SKU: sku(i), Name: "Page", Category: pages, Price: client.Money{Amount: 1, Currency: "GBP"}}
		if _, err := boss.CreateProduct(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := boss.ArchiveProduct(ctx, sku(4)); err != nil {
		t.Fatal(err)
	}
	if _, err := boss.ChangeProduct(ctx, sku(3), client.ProductChange{Name: new("Page three"), Available: new(true)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ page, limit, want int }{{0, 0, 4}, {0, 1, 4}, {1, 3, 4}, {2, 3, 1}, {3, 1, 2}, {9, 3, 0}} {
		found := map[string]bool{}
		for p, err := range boss.AllProducts(ctx, client.ProductQuery{Category: pages, Paging: client.Paging{Page: c.page, Limit: c.limit}}) {
			if err != nil {
				t.Fatal(err)
			}
			found[p.SKU] = true
		}
		if len(found) != c.want || found[sku(4)] {
			t.Errorf("from page %d by %d: %v; want %d of them", c.page, c.limit, found, c.want)
		}
	}
	for range boss.AllProducts(ctx, client.ProductQuery{Category: pages}) {
		break // a loop may end early
	}
	one, err := boss.ListProducts(ctx, client.ProductQuery{Q: "three", Category: pages})
	if err != nil || len(one.Data) != 1 || one.Data[0].SKU != sku(3) || one.Meta.LastPage != 1 {
		t.Errorf("%+v, %v", one, err)
	}
	for _, err := range theShop.registers(t, pages).AllUsers(ctx, client.UserQuery{}) {
		if !errors.Is(err, client.Forbidden) {
			t.Errorf("users are listed to customers: %v", err)
		}
	}
}

func TestAccount_FromRegistrationToLogout(t *testing.T) {
	ctx, name := t.Context(), unique("account")
	ana, email := theShop.registers(t, name), name+"@example.com"
	if _, err := at(t, theShop.url).Register(ctx, client.NewAccount{Name: "B", Email: email, Password: "another horse"}); !errors.Is(err, client.Conflict) {
		t.Errorf("registered twice: %v", err)
	}
	if _, err := at(t, theShop.url).LogIn(ctx, email, "another horse"); !errors.Is(err, client.Unauthenticated) {
		t.Errorf("a wrong password: %v", err)
	}
	me, err := ana.Me(ctx)
	if err != nil || me.Email != email {
		t.Fatalf("%+v, %v", me, err)
	}
	// A change of roles revokes her access token. She notices nothing.
	if _, err := theShop.boss(t).SetRoles(ctx, me.ID, []string{client.Customer, client.Staff}); err != nil {
		t.Fatal(err)
	}
	before := ana.Tokens()
	turnedDown(t, before.AccessToken)
	if _, err := ana.ListDeadLetters(ctx, client.Paging{}); err != nil {
		t.Errorf("as staff: %v", err)
	}
	if ana.Tokens().AccessToken == before.AccessToken || len(ana.Tokens().User.Roles) != 2 {
		t.Errorf("not renewed: %+v", ana.Tokens().User)
	}
	// The session goes on elsewhere, and ends everywhere.
	elsewhere := at(t, theShop.url, client.WithTokens(ana.Tokens()))
	if _, err := elsewhere.Me(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ana.LogOut(ctx); err != nil {
		t.Fatal(err)
	}
	turnedDown(t, elsewhere.Tokens().AccessToken)
	for _, c := range []*client.Client{ana, elsewhere} {
		if _, err := c.Me(ctx); !errors.Is(err, client.Unauthenticated) {
			t.Errorf("after the logout: %v", err)
		}
	}
	keys, err := ana.Keys(ctx)
	if err != nil || !strings.Contains(string(keys), `"alg":"EdDSA"`) {
		t.Errorf("%s, %v", keys, err)
	}
}

// turnedDown waits until the gateway turns an access token down. Services may do so
// a moment earlier, so a route is asked that only the gateway answers.
func turnedDown(t *testing.T, token string) {
	t.Helper()
	c := at(t, theShop.url, client.WithAccessToken(token))
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := c.ListDeadLetters(t.Context(), client.Paging{})
		if errors.Is(err, client.Unauthenticated) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the token is not revoked: %v", err)
		}
	}
}

// An order that is placed while orders is away is returned when it is back.
func TestDeferred_CommandIsAwaited(t *testing.T) {
	shop := openShop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := shop.sells(t, "later", 100, 10)
	ana := shop.registers(t, "later", client.WithConsistency(seen), client.WithBackoff(5*time.Millisecond, 50*time.Millisecond))
	if err := shop.stopping["orders"](); err != nil {
		t.Fatal(err)
	}
	var later *client.Deferred
	if _, err := ana.PlaceOrder(ctx, lamps("later", 1), client.NoFollow()); !errors.As(err, &later) || later.Unwrap() != nil {
		t.Fatalf("not deferred: %v", err)
	}
	soon, over := context.WithTimeout(ctx, 200*time.Millisecond)
	defer over()
	if err := ana.AwaitCommand(soon, later.ID, nil); !errors.As(err, &later) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody decides, and yet: %v", err)
	}
	type placed struct {
		order *client.Order
		err   error
	}
	answers := make(chan placed, 2)
	for _, sku := range []string{"later", "unknown"} {
		go func() {
			o, err := ana.PlaceOrder(ctx, lamps(sku, 1), client.Wait(time.Second))
			answers <- placed{o, err}
		}()
	}
	for deferred := 0; deferred < 3; { // all of them are there before orders is
		info, err := shop.JS.Stream(ctx, "DEFERRED")
		if err != nil {
			t.Fatal(err)
		}
		deferred = int(info.CachedInfo().State.Msgs)
	}
	shop.start("orders")
	for range 2 {
		var p *client.Problem
		switch a := <-answers; {
		case errors.As(a.err, &p):
			if p.Status != 422 && p.Status != 404 || p.Field == "" && p.Code != client.NotFound {
				t.Errorf("what nobody sells: %v", a.err)
			}
		case a.err != nil || a.order.ID == "" || a.order.Items[0].SKU != "later":
			t.Errorf("%+v, %v", a.order, a.err)
		}
	}
	var first client.Order
	if err := ana.AwaitCommand(ctx, later.ID, &first); err != nil || first.Total.Amount != 100 {
		t.Errorf("the first: %+v, %v", first, err)
	}
}

func TestOperations_ShowTheShopsState(t *testing.T) {
	ctx, boss := t.Context(), theShop.boss(t)
	if live, err := boss.Healthy(ctx); err != nil || live.Status != "ok" {
		t.Errorf("%+v, %v", live, err)
	}
	if live, err := boss.GatewayReady(ctx); err != nil || live.Status != "ok" {
		t.Errorf("%+v, %v", live, err)
	}
	if r, err := boss.Ready(ctx); err != nil || !r.Ready || r.Services["orders"].Status != client.ServiceReady {
		t.Errorf("%+v, %v", r, err)
	}
	if text, err := boss.Metrics(ctx); err != nil || len(text) < 1000 {
		t.Errorf("metrics %q, %v", text, err)
	}
	var kept []uint64
	for range 2 {
		kept = append(kept, uint64(names.Add(1)))
		if _, err := bus.NewDeadLetterQueue(theShop.JS).Add(ctx, bus.DeadLetter{Consumer: "orders-on-stock", Stream: "INVENTORY", Sequence: kept[len(kept)-1],
			Subject: "events.stock.main.reserved", Reason: "a bug", Data: "{}"}); err != nil {
			t.Fatal(err)
		}
	}
	var letters []client.DeadLetter
	for l, err := range boss.AllDeadLetters(ctx, client.Paging{}) {
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(kept, l.Sequence) && l.Reason == "a bug" {
			letters = append(letters, l)
		}
	}
	if len(letters) != 2 {
		t.Fatalf("letters %+v", letters)
	}
	if err := boss.DropDeadLetter(ctx, letters[0].ID); err != nil {
		t.Error(err)
	}
	if r, err := boss.RetryDeadLetter(ctx, letters[1].ID); err != nil || !slices.Contains(r.To, "orders-on-stock") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := boss.GetDeadLetter(ctx, letters[1].ID); !errors.Is(err, client.NotFound) {
		t.Errorf("a letter that went back: %v", err)
	}
}
