package client

import (
	"context"
	"net/http"
	"time"
)

// RefundStatus is the status of a refund.
type RefundStatus string

// The statuses of a refund.
const (
	RefundRequested RefundStatus = "requested" // the provider is asked
	RefundDone      RefundStatus = "refunded"
	RefundFailed    RefundStatus = "failed" // the amount can be refunded again, and the refund tried again
)

// NewRefund is what RefundOrder gives back: Amount, or what Lines cost, or all that is left if both are
// missing.
type NewRefund struct {
	Amount *Money          `json:"amount,omitempty"`
	Lines  []NewRefundLine `json:"lines,omitempty"`
	Reason string          `json:"reason,omitempty"` // kept for ever, so it should name nobody
}

// NewRefundLine is a number of pieces to be refunded.
type NewRefundLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Restock  bool   `json:"restock,omitempty"` // put the pieces back into stock
}

// Refund is money that goes back to a customer.
type Refund struct {
	ID          string       `json:"id"`
	OrderID     string       `json:"order_id"`
	Amount      Money        `json:"amount"`
	Lines       []RefundLine `json:"lines,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	Status      RefundStatus `json:"status"`
	Problem     string       `json:"problem,omitempty"` // why it failed; only staff see it
	RequestedAt time.Time    `json:"requested_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
}

// RefundLine is what is refunded of a product.
type RefundLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Restock  bool   `json:"restock,omitempty"`
	Amount   Money  `json:"amount"`
}

// RefundOrder refunds a paid order, in part or the rest. The error is [Conflict] above what is left, and for an
// order that is not paid or is cancelled. Staff only.
func (c *Client) RefundOrder(ctx context.Context, id string, r NewRefund, options ...CallOption) (*Refund, error) {
	return call[Refund](ctx, c, request{method: http.MethodPost, path: in("/api/orders/", id, "/refunds"), user: true, keyed: true, body: r}, options)
}

// OrderRefunds returns an order's refunds, oldest first, with those of a cancellation.
func (c *Client) OrderRefunds(ctx context.Context, id string, options ...CallOption) ([]Refund, error) {
	got, err := call[[]Refund](ctx, c, request{method: http.MethodGet, path: in("/api/orders/", id, "/refunds"), user: true}, options)
	if err != nil {
		return nil, err
	}
	return *got, nil
}

// RetryRefund tries a refund again that failed at the provider. The error is [Conflict] unless it has failed and
// its amount is still left. Staff only.
func (c *Client) RetryRefund(ctx context.Context, order, refund string, options ...CallOption) (*Refund, error) {
	return call[Refund](ctx, c, request{method: http.MethodPost, path: in(in("/api/orders/", order, "/refunds/"), refund, "/retry"), user: true, keyed: true}, options)
}
