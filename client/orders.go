package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// OrderStatus is how far an order is.
type OrderStatus string

// The statuses of an order.
const (
	Placed          OrderStatus = "placed" // whether the goods are there is not known yet
	AwaitingPayment OrderStatus = "awaiting_payment"
	Paid            OrderStatus = "paid"
	Shipped         OrderStatus = "shipped"
	Delivered       OrderStatus = "delivered"
	Cancelled       OrderStatus = "cancelled"
)

// Final reports whether an order stays as it is.
func (s OrderStatus) Final() bool { return s == Delivered || s == Cancelled }

// NewOrder is an order to place.
type NewOrder struct {
	Items []OrderLine `json:"items"` // 1 to 1000
}

// OrderLine is so many pieces of a product.
type OrderLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	// UnitPrice, when not nil, is the price that the customer has seen. When it is
	// another one by now, the order is refused as a [Conflict].
	UnitPrice *Money `json:"unit_price,omitempty"`
}

// Order is an order as its customer and staff see it.
type Order struct {
	ID           string        `json:"id"`
	Status       OrderStatus   `json:"status"`
	CustomerID   string        `json:"customer_id"`
	Currency     string        `json:"currency"`
	Total        Money         `json:"total"`
	TotalItems   int64         `json:"total_items"` // pieces
	Items        []OrderItem   `json:"items"`
	Payment      *OrderPayment `json:"payment"`                 // nil before it is asked for, and when the order costs nothing
	CancelReason string        `json:"cancel_reason,omitempty"` // such as "out_of_stock"
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
}

// OrderItem is a line of an order, at the price that it was placed at.
type OrderItem struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
	LineTotal Money  `json:"line_total"`
}

// PlaceOrder orders at the catalogue's prices. Whether the goods are there is
// known a moment later: [Wait] waits for it, and [Client.FollowOrder] tells.
func (c *Client) PlaceOrder(ctx context.Context, o NewOrder, options ...CallOption) (*Order, error) {
	return call[Order](ctx, c, request{method: http.MethodPost, path: "/api/orders", user: true, keyed: true, waits: true, body: o}, options)
}

// OrderQuery says which orders are wanted.
type OrderQuery struct {
	Status OrderStatus // "" for any
	Paging
}

// ListOrders returns one page of the orders, newest first: the user's own ones,
// for staff everybody's.
func (c *Client) ListOrders(ctx context.Context, q OrderQuery, options ...CallOption) (*List[Order], error) {
	return call[List[Order]](ctx, c, request{method: http.MethodGet, path: "/api/orders", user: true,
		query: q.values(url.Values{"status": {string(q.Status)}})}, options)
}

// AllOrders returns the orders page by page, see [Client.ListOrders].
func (c *Client) AllOrders(ctx context.Context, q OrderQuery, options ...CallOption) iter.Seq2[Order, error] {
	return all(q.Paging, func(p Paging) (*List[Order], error) { q.Paging = p; return c.ListOrders(ctx, q, options...) })
}

// GetOrder returns an order. It is [NotFound] to customers whose order it is not.
func (c *Client) GetOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return call[Order](ctx, c, request{method: http.MethodGet, path: in("/api/orders/", id, ""), user: true}, options)
}

// CancelOrder gives an order up, and returns it. Its customer and staff may, until
// it is shipped; then it is a [Conflict]. What was paid is refunded.
func (c *Client) CancelOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.moveOrder(ctx, id, Cancelled, options)
}

// ShipOrder records that a paid order has left. It is a [Conflict] until the goods
// were taken off the shelves for it, which is a moment after the payment. Staff only.
func (c *Client) ShipOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.moveOrder(ctx, id, Shipped, options)
}

// DeliverOrder records that a shipped order has arrived. Staff only.
func (c *Client) DeliverOrder(ctx context.Context, id string, options ...CallOption) (*Order, error) {
	return c.moveOrder(ctx, id, Delivered, options)
}

func (c *Client) moveOrder(ctx context.Context, id string, to OrderStatus, options []CallOption) (*Order, error) {
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

// StreamURL is where a browser's EventSource follows an order.
type StreamURL struct {
	URL       string `json:"url"`
	ExpiresIn int64  `json:"expires_in"` // seconds within which it must be opened
}

// NewStreamURL returns a URL for new EventSource(url) in the customer's browser,
// which can send no access token. It follows this order only, as the client's user.
func (c *Client) NewStreamURL(ctx context.Context, id string, options ...CallOption) (*StreamURL, error) {
	return call[StreamURL](ctx, c, request{method: http.MethodPost, path: in("/api/orders/", id, "/stream/tickets"), user: true}, options)
}
