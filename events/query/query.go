// Package query holds the queries that the services answer from their views, and the types of
// the answers. A query is sent as a JSON request on
//
//	queries.<service>.<query>            queries.orders.order
//
// and answered on its reply subject. It changes nothing, so it may be sent any number of
// times. What an actor may not see is an error with the code not_found or forbidden.
package query

import (
	"time"

	"lonja/events"
)

// Query is a question to one service.
type Query interface {
	// QueryName returns the service and the query, such as "orders.order". It must not
	// depend on the receiver's fields.
	QueryName() string
}

// Subject returns the subject on which a query is sent.
func Subject(q Query) string { return "queries." + q.QueryName() }

// Product asks catalog for one ProductView, archived or not.
type Product struct {
	SKU events.SKU `json:"sku"`
}

// Products asks catalog for a List[ProductView] of the products that are not archived. Q, when
// not empty, is searched for in names and descriptions, best match first. Category, when not
// empty, must be equal.
type Products struct {
	Q        string `json:"q,omitempty"`
	Category string `json:"category,omitempty"`
	Page
}

// ProductView is a product as the catalogue shows it.
type ProductView struct {
	events.Product
	Available bool      `json:"available"` // false once archived
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Stock asks inventory for the StockView of one SKU.
type Stock struct {
	SKU events.SKU `json:"sku"`
}

// StockView shows how much of a SKU is in stock.
type StockView struct {
	SKU       events.SKU `json:"sku"`
	OnHand    int64      `json:"on_hand"`
	Reserved  int64      `json:"reserved"`
	Available int64      `json:"available"`
}

// NewStockView returns the view of a level.
func NewStockView(l events.Level) StockView {
	return StockView{l.SKU, l.OnHand, l.Reserved, l.Available()}
}

// Payment asks payments for one PaymentView.
type Payment struct {
	PaymentID events.PaymentID `json:"payment_id"`
}

// PaymentView is a payment as anyone who has its link may see it.
type PaymentView struct {
	ID       events.PaymentID `json:"id"`
	OrderID  events.OrderID   `json:"order_id"`
	Provider string           `json:"provider"`
	Status   string           `json:"status"`
	Amount   events.Money     `json:"amount"`
	URL      string           `json:"url"`
	// Failed is what the last attempt failed of, while another one may follow.
	Failed string `json:"failed,omitempty" enum:"declined,expired,unavailable"`
}

// FlaggedPayments asks payments for a List[PaymentFlag], newest first. It is for staff.
type FlaggedPayments struct {
	Page
}

// PaymentFlag says why a payment needs a person's attention. OrderID, Provider, Status and
// Amount are missing when the shop never requested such a payment.
type PaymentFlag struct {
	PaymentID events.PaymentID `json:"payment_id"`
	OrderID   events.OrderID   `json:"order_id,omitempty"`
	Provider  string           `json:"provider,omitempty"`
	Status    string           `json:"status,omitempty"`
	Amount    *events.Money    `json:"amount,omitempty"`
	Attempt   int              `json:"attempt,omitempty"`
	Reason    string           `json:"reason"`
	Detail    string           `json:"detail"`
	Time      time.Time        `json:"time"`
}

func (Product) QueryName() string         { return "catalog.product" }
func (Products) QueryName() string        { return "catalog.products" }
func (Stock) QueryName() string           { return "inventory.stock" }
func (Payment) QueryName() string         { return "payments.payment" }
func (FlaggedPayments) QueryName() string { return "payments.flagged" }
