// Package query holds the questions that the services answer out of their
// views, and the shapes of the answers. A query is sent as a JSON request on
//
//	queries.<service>.<query>            queries.orders.order
//
// and answered on its reply subject.
package query

import (
	"time"

	"lonja/events"
)

// Query is a question to one service.
type Query interface {
	// QueryName names service and query, such as "orders.order". It must not look
	// at the receiver's fields.
	QueryName() string
}

// Subject is where a query is sent.
func Subject(q Query) string { return "queries." + q.QueryName() }

// Page says which part of a list is wanted.
type Page struct {
	Page  int `json:"page"`  // from 1; 0 means 1
	Limit int `json:"limit"` // 1 to 100; 0 means 20
}

// Normal is the page with its defaults filled in and its bounds kept.
func (p Page) Normal() Page {
	if p.Limit <= 0 {
		p.Limit = 20
	}
	return Page{min(max(p.Page, 1), maxPage), min(p.Limit, 100)}
}

// maxPage keeps offsets far from overflow.
const maxPage = 1_000_000_000

// Offset is how many rows come before the page.
func (p Page) Offset() int { return (p.Page - 1) * p.Limit }

// List is one page of a longer list.
type List[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta says where a page stands in its list.
type Meta struct {
	Total    int `json:"total"`
	Page     int `json:"page"`
	LastPage int `json:"last_page"` // at least 1
}

// NewList is the page p of a list with total entries. Data is never nil.
func NewList[T any](data []T, total int, p Page) List[T] {
	if data == nil {
		data = []T{}
	}
	return List[T]{data, Meta{total, p.Page, max(1, (total+p.Limit-1)/p.Limit)}}
}

// Product asks catalog for one Product, archived or not.
type Product struct {
	SKU events.SKU `json:"sku"`
}

// Products asks catalog for a List[ProductView]. Q is searched for in names
// and descriptions, best match first; Category must be equal.
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

// StockView is how much of a SKU there is.
type StockView struct {
	SKU       events.SKU `json:"sku"`
	OnHand    int64      `json:"on_hand"`
	Reserved  int64      `json:"reserved"`
	Available int64      `json:"available"`
}

// NewStockView shows a level.
func NewStockView(l events.Level) StockView {
	return StockView{l.SKU, l.OnHand, l.Reserved, l.Available()}
}

// Payment asks payments for one PaymentView.
type Payment struct {
	PaymentID events.PaymentID `json:"payment_id"`
}

// PaymentView is a payment as whoever has its link may see it.
type PaymentView struct {
	ID       events.PaymentID `json:"id"`
	OrderID  events.OrderID   `json:"order_id"`
	Provider string           `json:"provider"`
	Status   string           `json:"status"`
	Amount   events.Money     `json:"amount"`
	URL      string           `json:"url"`
}

func (Product) QueryName() string  { return "catalog.product" }
func (Products) QueryName() string { return "catalog.products" }
func (Stock) QueryName() string    { return "inventory.stock" }
func (Payment) QueryName() string  { return "payments.payment" }
