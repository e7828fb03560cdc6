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

// Page selects a part of a list.
type Page struct {
	Page  int `json:"page" required:"false"`  // from 1; 0 means 1
	Limit int `json:"limit" required:"false"` // 1 to 100; 0 means 20
}

// Normal returns the page with its defaults filled in and its values brought within bounds.
func (p Page) Normal() Page {
	if p.Limit <= 0 {
		p.Limit = 20
	}
	return Page{min(max(p.Page, 1), maxPage), min(p.Limit, 100)}
}

// maxPage keeps offsets far from overflow.
const maxPage = 1_000_000_000

// Offset returns how many rows come before the page, which must be Normal.
func (p Page) Offset() int { return (p.Page - 1) * p.Limit }

// List is one page of a longer list.
type List[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta describes the place of a page in its list.
type Meta struct {
	Total    int `json:"total"`
	Page     int `json:"page"`
	LastPage int `json:"last_page"` // at least 1
}

// NewList returns the page p, which must be Normal, of a list with total entries. Its Data is
// never nil.
func NewList[T any](data []T, total int, p Page) List[T] {
	if data == nil {
		data = []T{}
	}
	return List[T]{data, Meta{total, p.Page, max(1, (total+p.Limit-1)/p.Limit)}}
}

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
}

func (Product) QueryName() string  { return "catalog.product" }
func (Products) QueryName() string { return "catalog.products" }
func (Stock) QueryName() string    { return "inventory.stock" }
func (Payment) QueryName() string  { return "payments.payment" }
