package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"lonja/client"
)

// args are what an operation's method is called with: examples made of the
// document.
type args struct {
	ctx   context.Context
	path  map[string]string
	query map[string]any
	body  []byte
}

func (a args) text(name string) string { s, _ := a.query[name].(string); return s }
func (a args) number(name string) int  { n, _ := a.query[name].(float64); return int(n) }
func (a args) paging() client.Paging {
	return client.Paging{Page: a.number("page"), Limit: a.number("limit"), After: a.text("after")}
}

// as decodes the body. A field that the client does not have fails the test.
func as[T any](a args) (v T) {
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// methods has for each operation of the document the call of the client that
// sends it. What they return is compared with the answer, so a few put it back
// into the answer's form.
var methods = map[string]func(*client.Client, args) (any, error){
	"register": func(c *client.Client, a args) (any, error) {
		return withoutExpiry(c.Register(a.ctx, as[client.NewAccount](a)))
	},
	"log-in": func(c *client.Client, a args) (any, error) {
		who := as[struct{ Email, Password string }](a)
		return withoutExpiry(c.LogIn(a.ctx, who.Email, who.Password))
	},
	"refresh-a-session": func(c *client.Client, a args) (any, error) {
		c = c.Session(client.WithConsistency(c.Consistency()), client.WithTokens(client.Tokens{RefreshToken: as[refreshToken](a).RefreshToken}))
		return withoutExpiry(c.Refresh(a.ctx))
	},
	"log-out": func(c *client.Client, a args) (any, error) {
		c = c.Session(client.WithConsistency(c.Consistency()), client.WithTokens(client.Tokens{RefreshToken: as[refreshToken](a).RefreshToken}))
		return nil, c.LogOut(a.ctx)
	},
	"verify-an-access-token": func(c *client.Client, a args) (any, error) {
		u, err := c.Me(a.ctx)
		return map[string]any{"user": u}, err
	},
	"read-the-keys-of-access-tokens": func(c *client.Client, a args) (any, error) { return c.Keys(a.ctx) },
	"list-users": func(c *client.Client, a args) (any, error) {
		return c.ListUsers(a.ctx, client.UserQuery{Email: a.text("email"), Paging: a.paging()})
	},
	"read-an-account": func(c *client.Client, a args) (any, error) { return c.GetUser(a.ctx, a.path["id"]) },
	"change-a-profile": func(c *client.Client, a args) (any, error) {
		return c.ChangeProfile(a.ctx, a.path["id"], as[client.ProfileChange](a))
	},
	"change-an-accounts-email-address": func(c *client.Client, a args) (any, error) {
		return c.ChangeEmail(a.ctx, a.path["id"], as[client.EmailChange](a))
	},
	"export-what-is-kept-on-a-person": func(c *client.Client, a args) (any, error) { return c.Export(a.ctx, a.path["id"]) },
	"erase-an-account": func(c *client.Client, a args) (any, error) {
		return nil, c.Erase(a.ctx, a.path["id"], as[struct{ Password string }](a).Password)
	},
	"set-a-users-roles": func(c *client.Client, a args) (any, error) {
		return c.SetRoles(a.ctx, a.path["id"], as[struct{ Roles []string }](a).Roles)
	},
	"create-a-product": func(c *client.Client, a args) (any, error) {
		return c.CreateProduct(a.ctx, as[client.NewProduct](a))
	},
	"list-products": func(c *client.Client, a args) (any, error) {
		return c.ListProducts(a.ctx, client.ProductQuery{Q: a.text("q"), Category: a.text("category"), Paging: a.paging()})
	},
	"read-a-product": func(c *client.Client, a args) (any, error) { return c.GetProduct(a.ctx, a.path["sku"]) },
	"change-a-product": func(c *client.Client, a args) (any, error) {
		return c.ChangeProduct(a.ctx, a.path["sku"], as[client.ProductChange](a))
	},
	"archive-a-product":           func(c *client.Client, a args) (any, error) { return nil, c.ArchiveProduct(a.ctx, a.path["sku"]) },
	"read-the-stock-of-a-product": func(c *client.Client, a args) (any, error) { return c.GetStock(a.ctx, a.path["sku"]) },
	"set-the-stock-of-a-product": func(c *client.Client, a args) (any, error) {
		return c.SetStock(a.ctx, a.path["sku"], as[struct {
			OnHand int64 `json:"on_hand"`
		}](a).OnHand)
	},
	"adjust-the-stock-of-a-product": func(c *client.Client, a args) (any, error) {
		return c.AdjustStock(a.ctx, a.path["sku"], as[client.StockAdjustment](a))
	},
	"place-an-order": func(c *client.Client, a args) (any, error) {
		return c.PlaceOrder(a.ctx, as[client.NewOrder](a), client.Wait(10*time.Second))
	},
	"list-orders": func(c *client.Client, a args) (any, error) {
		return c.ListOrders(a.ctx, client.OrderQuery{Status: client.OrderStatus(a.text("status")), Paging: a.paging()})
	},
	"read-an-order": func(c *client.Client, a args) (any, error) { return c.GetOrder(a.ctx, a.path["id"]) },
	"change-an-orders-status": func(c *client.Client, a args) (any, error) {
		move := map[client.OrderStatus]func(context.Context, string, ...client.CallOption) (*client.Order, error){
			client.Cancelled: c.CancelOrder, client.Shipped: c.ShipOrder, client.Delivered: c.DeliverOrder}
		return move[as[struct{ Status client.OrderStatus }](a).Status](a.ctx, a.path["id"])
	},
	"try-to-pay-for-an-order-again": func(c *client.Client, a args) (any, error) {
		return c.RetryPayment(a.ctx, a.path["id"], as[struct{ Provider string }](a).Provider, client.Wait(10*time.Second))
	},
	"list-payments-that-need-attention": func(c *client.Client, a args) (any, error) { return c.ListFlaggedPayments(a.ctx, a.paging()) },
	"read-an-orders-timeline":           func(c *client.Client, a args) (any, error) { return c.OrderTimeline(a.ctx, a.path["id"]) },
	"read-an-orders-receipt":            func(c *client.Client, a args) (any, error) { return c.GetReceipt(a.ctx, a.path["id"]) },
	"refund-an-order-in-part-or-the-rest": func(c *client.Client, a args) (any, error) {
		return c.RefundOrder(a.ctx, a.path["id"], as[client.NewRefund](a))
	},
	"list-an-orders-refunds": func(c *client.Client, a args) (any, error) { return c.OrderRefunds(a.ctx, a.path["id"]) },
	"try-a-refund-again-that-failed": func(c *client.Client, a args) (any, error) {
		return c.RetryRefund(a.ctx, a.path["id"], a.path["refund"])
	},
	"follow-an-orders-status": func(c *client.Client, a args) (any, error) {
		for _, err := range c.FollowOrder(a.ctx, a.path["id"], client.After("41")) {
			return nil, err
		}
		return nil, nil
	},
	"ask-for-a-url-to-follow-an-order-with": func(c *client.Client, a args) (any, error) { return c.NewStreamURL(a.ctx, a.path["id"]) },
	"show-the-sandbox-providers-page":       func(c *client.Client, a args) (any, error) { return c.GetPayment(a.ctx, a.path["id"]) },
	"pay-or-decline-in-the-sandbox": func(c *client.Client, a args) (any, error) {
		return c.SettlePayment(a.ctx, a.path["id"], as[struct{ Outcome string }](a).Outcome)
	},
	"read-what-became-of-a-command-that-was-left-for-later": func(c *client.Client, a args) (any, error) { return c.GetCommand(a.ctx, a.path["id"]) },
	"list-the-messages-that-could-not-be-handled":           func(c *client.Client, a args) (any, error) { return c.ListDeadLetters(a.ctx, a.paging()) },
	"read-a-dead-letter":                                    func(c *client.Client, a args) (any, error) { return c.GetDeadLetter(a.ctx, letterID) },
	"give-a-dead-letter-back-to-whoever-failed":             func(c *client.Client, a args) (any, error) { return c.RetryDeadLetter(a.ctx, letterID) },
	"drop-a-dead-letter":                                    func(c *client.Client, a args) (any, error) { return nil, c.DropDeadLetter(a.ctx, letterID) },
	"tell-whether-the-gateway-is-alive":                     func(c *client.Client, a args) (any, error) { return c.Healthy(a.ctx) },
	"tell-whether-the-shop-is-ready":                        func(c *client.Client, a args) (any, error) { return c.Ready(a.ctx) },
	"tell-whether-this-gateway-can-serve":                   func(c *client.Client, a args) (any, error) { return c.GatewayReady(a.ctx) },
	"read-the-metrics":                                      func(c *client.Client, a args) (any, error) { return c.Metrics(a.ctx) },
}

type refreshToken struct {
	RefreshToken string `json:"refresh_token"`
}

// letterID is the id in paths of dead letters.
const letterID = 4711

func withoutExpiry(t *client.Tokens, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	t.Expiry = time.Time{}
	return t, nil
}
