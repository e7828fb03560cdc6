package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// OrderStatus is the status of an order.
type OrderStatus string

// The statuses of an order.
const (
	Placed          OrderStatus = "placed" // stock is not reserved yet
	AwaitingPayment OrderStatus = "awaiting_payment"
	Paid            OrderStatus = "paid"
	Shipped         OrderStatus = "shipped"
	Delivered       OrderStatus = "delivered"
	Cancelled       OrderStatus = "cancelled"
)

// Final reports whether the status cannot change any more.
func (s OrderStatus) Final() bool { return s == Delivered || s == Cancelled }

// NewOrder is the order that PlaceOrder places.
type NewOrder struct {
	Items []OrderLine `json:"items"` // 1 to 1000
}

// OrderLine is a product and its quantity.
type OrderLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	// UnitPrice is the price that the customer has seen, or nil. If the current price
	// differs, the order is rejected with [Conflict].
	UnitPrice *Money `json:"unit_price,omitempty"`
}

// Order is an order, as its customer and staff see it.
type Order struct {
	ID           string        `json:"id"`
	Status       OrderStatus   `json:"status"`
	CustomerID   string        `json:"customer_id"`
	Currency     string        `json:"currency"`
	Total        Money         `json:"total"`
	TotalItems   int64         `json:"total_items"` // pieces
	Items        []OrderItem   `json:"items"`
	Payment      *OrderPayment `json:"payment"`                 // nil before it is requested, and if the order costs nothing
	Refunded     *Money        `json:"refunded,omitempty"`      // what went back to the customer, nil for nothing
	CancelReason string        `json:"cancel_reason,omitempty"` // such as "out_of_stock"
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
}

// OrderItem is a line of an order, with the price at which it was placed.
type OrderItem struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
	LineTotal Money  `json:"line_total"`
}

// PlaceOrder places an order at the catalogue's prices. Stock is reserved a moment later:
// wait for that with [Wait], or with [Client.FollowOrder].
func (c *Client) PlaceOrder(ctx context.Context, o NewOrder, options ...CallOption) (*Order, error) {
	return call[Order](ctx, c, request{method: http.MethodPost, path: "/api/orders", user: true, keyed: true, waits: true, body: o}, options)
}

// OrderQuery selects orders.
type OrderQuery struct {
	Status OrderStatus // "" for any
	Paging
}

// ListOrders returns one page of the orders, newest first: the user's own ones, or all of
// them for staff.
func (c *Client) ListOrders(ctx context.Context, q OrderQuery, options ...CallOption) (*List[Order], error) {
	return call[List[Order]](ctx, c, request{method: http.MethodGet, path: "/api/orders", user: true,
		query: q.values(url.Values{"status": {string(q.Status)}})}, options)
}

// AllOrders returns all orders from q.Page on, see [Client.ListOrders]. It ends after an error.
func (c *Client) AllOrders(ctx context.Context, q OrderQuery, options ...CallOption) iter.Seq2[Order, error] {
	return all(q.Paging, func(p Paging) (*List[Order], error) { q.Paging = p; return c.ListOrders(ctx, q, options...) })
}

// GetOrder returns an order. The error is [NotFound] if it is another customer's.
func (c *Client) GetOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return call[Order](ctx, c, request{method: http.MethodGet, path: in("/api/orders/", id, ""), user: true}, options)
}

// CancelOrder cancels an order and returns it. Its customer and staff may do so until it is
// shipped; after that the error is [Conflict]. A payment is refunded.
func (c *Client) CancelOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.changeStatus(ctx, id, Cancelled, options)
}

// ShipOrder records that a paid order was shipped. The error is [Conflict] until its stock is
// committed, a moment after the payment. Staff only.
func (c *Client) ShipOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.changeStatus(ctx, id, Shipped, options)
}

// DeliverOrder records that a shipped order was delivered. Staff only.
func (c *Client) DeliverOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.changeStatus(ctx, id, Delivered, options)
}

func (c *Client) changeStatus(ctx context.Context, id string, to OrderStatus, options []CallOption) (*Order, error) {
	return call[Order](ctx, c, request{method: http.MethodPatch, path: in("/api/orders/", id, ""), user: true,
		body: map[string]OrderStatus{"status": to}}, options)
}

// TimelineEntry is one event about an order, on any of the shop's streams.
type TimelineEntry struct {
	Stream      string          `json:"stream"`
	Sequence    uint64          `json:"sequence"`
	Type        string          `json:"type"` // such as "lonja.order.paid.v1"
	Time        time.Time       `json:"time"`
	Actor       string          `json:"actor"`
	EventID     string          `json:"event_id"`
	CausationID string          `json:"causation_id"`
	Data        json.RawMessage `json:"data"`
}

// OrderTimeline returns every event about an order, in order.
func (c *Client) OrderTimeline(ctx context.Context, id string, options ...CallOption) ([]TimelineEntry, error) {
	got, err := call[[]TimelineEntry](ctx, c, request{method: http.MethodGet, path: in("/api/orders/", id, "/timeline"), user: true}, options)
	if err != nil {
		return nil, err
	}
	return *got, nil
}

// StreamURL is a URL with which a browser's EventSource follows an order.
type StreamURL struct {
	URL       string `json:"url"`
	ExpiresIn int64  `json:"expires_in"` // seconds within which the URL must be opened
}

// NewStreamURL returns a URL for new EventSource(url) in the customer's browser, which cannot
// send an access token. The URL is valid for this order's stream only, and acts for the
// client's user.
func (c *Client) NewStreamURL(ctx context.Context, id string, options ...CallOption) (*StreamURL, error) {
	return call[StreamURL](ctx, c, request{method: http.MethodPost, path: in("/api/orders/", id, "/stream/tickets"), user: true}, options)
}
